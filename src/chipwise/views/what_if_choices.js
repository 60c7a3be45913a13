// The form, the address that says the same, and what is said beside a choice that cannot be.
const by = id => document.getElementById(id);
const form = by("choices");

function query() {
  const pairs = new URLSearchParams();
  for (const field of form.elements) {
    const given = field.type === "checkbox" ? field.checked : field.value !== "";
    if (field.name && given && !field.disabled) pairs.set(field.name, field.value);
  }
  return pairs.toString();
}

// A value that the page does not offer is shown all the same: the server may know it, or says why not.
function choose(field, value) {
  if (field.type === "checkbox") {
    field.checked = value === "1";
    return;
  }
  if (field.tagName === "SELECT" && ![...field.options].some(option => option.value === value)) {
    field.append(new Option(value, value));
  }
  field.value = value;
}

// What the address does not name is as the page was sent.
const usual = new Map([...form.elements].filter(field => field.name).map(field => [field.name, field.value]));
function readAddress() {
  const named = new URLSearchParams(location.search);
  for (const field of form.elements) {
    if (!field.name) continue;
    const plain = field.type === "checkbox" ? "" : usual.get(field.name);
    choose(field, named.get(field.name) ?? plain);
  }
  offerTraining();
}

// What the address says beside the choices: the server tells what is wrong with it.
function surplus() {
  const known = new Set(usual.keys());
  return [...new URLSearchParams(location.search).keys()].filter(name => !known.has(name));
}

function offerTraining() {
  const off = by("choose-phase").value === "inference";
  for (const place of document.querySelectorAll(".training")) {
    place.hidden = off;
    for (const field of place.querySelectorAll("input, select")) field.disabled = off;
  }
}

function clearRefusals() {
  for (const place of document.querySelectorAll("[role=alert]")) place.replaceChildren();
  for (const field of document.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

function refuse({ error, hint, choice }) {
  const place = by(`error-${choice}`), field = by(`choose-${choice}`);
  const beside = place && !place.closest("[hidden]") ? place : by("refused");
  beside.replaceChildren(sentence(error), ...(hint ? [small(hint)] : []));
  if (field && beside === place) {
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", place.id);
  }
}

const sentence = text => text.charAt(0).toUpperCase() + text.slice(1);
const small = text => Object.assign(document.createElement("small"), { textContent: text });
