// Asks the server whenever a choice changes, and shows what it says; all of it goes in as text.
const PARTS = [
  "weights", "copies", "saved", "activations", "gradients", "optimizer", "workspace", "rounding", "context",
];
const NAMES = ["roofline", "scaling", "offers"];
const HELP = Object.fromEntries(NAMES.map(name => [name, by(`pointed-${name}`).textContent]));
const OFFERS_WAIT_MS = 250;  // all devices take longer than one: they are asked for once choices rest
let latest = null, offered = null;

const asBytes = value => {
  const place = value < 1023.5 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${digits(value / 1024 ** place)} ${["B", "KiB", "MiB", "GiB", "TiB"][place]}`;
};
const asLarge = value => value >= 99950 ? scaled(value).trim() : digits(value);
// An interval's middle, or the bound that is known.
function said(interval, format) {
  if (!interval) return "–";
  if (interval.mid !== null) return format(interval.mid);
  if (interval.low !== null) return `≥ ${format(interval.low)}`;
  return interval.high !== null ? `≤ ${format(interval.high)}` : "not known";
}
const whole = interval => interval && [interval.low, interval.mid, interval.high].every(each => each !== null);
const bounds = (interval, format) => whole(interval) ? `${format(interval.low)} – ${format(interval.high)}` : "";
const times = (interval, factor) => interval && Object.fromEntries(
  ["low", "mid", "high"].map(each => [each, interval[each] === null ? null : interval[each] * factor]));

// One question at a time: what is asked meanwhile is asked afterwards, the last of it alone.
function teller(path, wait, show, refused) {
  let busy = false, next = null, timer = 0;
  async function ask(asked) {
    if (busy) {
      next = asked;
      return;
    }
    busy = true;
    const [use, answer] = await answered(`${path}?${asked}`, show, refused);
    busy = false;
    const again = next;
    next = null;
    if (again === null) use(answer);
    else ask(again);
  }
  return asked => {
    clearTimeout(timer);
    timer = setTimeout(ask, wait, asked);
  };
}

async function answered(url, show, refused) {
  try {
    const response = await fetch(url, { cache: "no-store", credentials: "omit", redirect: "error" });
    return [response.ok ? show : refused, await response.json()];
  } catch {
    return [refused, { error: "no answer from the server", hint: "is chipwise ui still running?" }];
  }
}

function show(answer) {
  latest = answer;
  settled(false);
  headline(answer);
  tiles(answer);
  memory(answer);
  layers(answer);
  scaling(answer);
  list("notes", [...answer.notes, `method: ${answer.estimation.forecasts[0].estimate.method}`]);
  if (offered) showOffers(offered);
}

function settled(stale) {
  clearRefusals();
  by("answer").classList.remove("empty");
  by("answer").classList.toggle("stale", stale);
  by("answer").setAttribute("aria-busy", "false");
}

function headline({ estimation, count, batch, micro_batches: cut, pipeline, item, link, fits }) {
  const { device, workload, bound } = estimation.forecasts[0].estimate;
  by("title").textContent = `${estimation.network} on ${count === 1 ? device : `${count} × ${device}`}`;
  document.title = `${by("title").textContent}: chipwise what if`;
  const format = workload.techniques.includes("amp") ? `amp (${workload.precision})` : workload.precision;
  const size = `${digits(batch)} ${batch === 1 ? item : `${item}s`} a step`;
  const stages = pipeline ? `, ${count * cut} times ${workload.batch} through ${count} stages` : "";
  const parts = pipeline ? stages : cut > 1 ? `, ${cut} times ${workload.batch} on each` : "";
  const unfit = fits === false ? " It does not fit: time, energy and money are what it would take if it did." : "";
  by("state").textContent = `${sentence(workload.phase)} in ${format}, ${size}${parts}${link ? `, over ${link}` : ""}; `
    + `bound by ${bound}.${unfit}`;
  for (const place of document.querySelectorAll(".items")) place.textContent = sentence(`${item}s`);
}

function tiles({ fits, capacity_bytes: capacity, memory_bytes: held, step_s, items_s, energy_j, money, batch, item }) {
  by("fits").textContent = fits === null ? "not known" : fits ? "fits" : "does not fit";
  by("tiles").classList.toggle("unfit", fits === false);
  by("fits").className = fits === null ? "" : fits ? "yes" : "no";
  by("fits-said").textContent = `${said(held, asBytes)}${capacity === null ? "" : ` of ${asBytes(capacity)}`}`;
  const tell = (name, interval, format, unit) => {
    by(name).textContent = said(interval, format);
    by(`${name}-said`).textContent = [bounds(interval, format), unit].filter(Boolean).join(" ");
  };
  tell("step", step_s, asTime, step_s.coverage ? `(holds ${percent(step_s.coverage)})` : "");
  tell("rate", items_s, asLarge, "");
  const energy = times(energy_j, 1000 / batch);
  tell("energy", energy, value => `${scaled(value)}J`, energy ? `for 1,000 ${item}s` : "no power is known");
  for (const way of ["rent", "buy"]) {
    const found = money.find(each => each.way === way);
    tell(way, found?.items_usd, asLarge, found ? `${item}s a dollar` : "no price is known");
  }
}

function memory({ memory: use, capacity_bytes: capacity, memory_bytes: held }) {
  const parts = PARTS.filter(part => use[part] > 0), total = parts.reduce((sum, part) => sum + use[part], 0);
  const full = Math.max(total, capacity ?? 0) || 1, mid = held?.mid ?? null;
  const beyond = capacity !== null && capacity < full;
  const mark = (place, name) => {
    const line = Object.assign(document.createElement("b"), { className: name });
    line.style.left = `calc(${100 * Math.min(place / full, 1)}% - 2px)`;
    return line;
  };
  const pieces = parts.map(part => {
    const title = `${part}: ${asBytes(use[part])}`;
    const piece = Object.assign(document.createElement("i"), { className: part, title });
    piece.style.width = `${100 * use[part] / full}%`;
    return piece;
  });
  const marks = [...(mid === null ? [] : [mark(mid, "")]), ...(beyond ? [mark(capacity, "full")] : [])];
  by("bar").replaceChildren(...pieces, ...marks);
  const of = capacity === null ? "" : ` of ${asBytes(capacity)}`;
  by("bar").setAttribute("aria-label", `${asBytes(total)}${of}; the parts stand below`);
  by("parts").replaceChildren(...parts.map(part => {
    const line = document.createElement("li"), size = document.createElement("b");
    size.textContent = asBytes(use[part]);
    line.append(Object.assign(document.createElement("i"), { className: part }), `${part} `, size);
    return line;
  }));
  const known = beyond ? "The red mark is what there is." : "The whole bar is what there is.";
  const there = capacity === null ? "How much the device has is not known." : known;
  const peak = `The dark mark is the expected peak, ${said(held, asBytes)}: each part is shown at its most, `
    + "and they are not all there at once.";
  by("memory-said").textContent = `${there} ${mid === null ? "" : peak}`;
}

function layers(answer) {
  const { rows } = answer.estimation.forecasts[0].estimate, rest = rows.length - drawRoofline(answer);
  by("pointed-roofline").textContent = HELP.roofline;
  table("roofline", ["layer", "time", "FLOPs", "bytes moved", "bound by"], rows.map(row => [
    row.op ? `${row.name} (${row.op})` : row.name, asTime(row.time_s), scaled(row.flops).trim(), asBytes(row.moved_bytes),
    row.bound,
  ]));
  const some = rest === 1 ? "1 layer without arithmetic is" : `${rest} layers without arithmetic are`;
  by("said-roofline").textContent = rest ? `${some} among the numbers only.` : "";
}

function scaling(answer) {
  drawScaling(answer);
  by("pointed-scaling").textContent = HELP.scaling;
  const heads = ["devices", `${answer.item}s a second`, "efficiency", "from – to", "communication", "waiting"];
  table("scaling", heads, answer.scaling.map(each => [
    String(each.count), said(each.items_s, digits), said(each.efficiency, percent),
    bounds(each.efficiency, percent) || "–", percent(each.communication.mid ?? 0),
    waited(each) === null ? "–" : percent(waited(each)),
  ]));
  const alone = "How several of these go together is not known: choose how many, and what joins them.";
  by("said-scaling").textContent = answer.scaling.length < 2 ? alone : "";
}

function showOffers(answer) {
  offered = answer;
  const against = by("choose-against").value, item = latest?.item ?? "item";
  const { field, times: factor, title, format } = MEASURES[against];
  const count = drawOffers(answer, against, latest?.estimation.forecasts[0].estimate.device ?? "", item);
  by("pointed-offers").textContent = HELP.offers;
  const measured = each => each[field] ? said(times(each[field], factor), format) : "not known";
  const beaten = each => each[field] ? (each.best.includes(against) ? "by none" : "by another") : "–";
  const left = answer.left_out.map(each => [each.device, "–", "–", "–", each.reason]);
  const rows = answer.offers.map(each => [
    each.device, said(each.item_s, asTime), measured(each), each.precision, beaten(each),
  ]);
  const heads = ["device", `time of each ${item}`, `${title} ${item}s`, "number format", "beaten"];
  table("offers", heads, [...rows, ...left]);
  const unpriced = answer.offers.length - count, why = [];
  if (unpriced) why.push(`of ${unpriced} it is not known what they take`);
  if (left.length) why.push(`${left.length} cannot run this, or nothing is known of them`);
  const missing = why.length ? ` Not drawn: ${why.join("; ")}. The numbers name them.` : "";
  by("said-offers").textContent = `One of each, at the same batch.${missing}`;
}

function table(name, heads, rows) {
  const made = by(`table-${name}`), head = document.createElement("tr");
  const side = place => place ? "n" : "";
  head.append(...heads.map((textContent, place) =>
    Object.assign(document.createElement("th"), { scope: "col", textContent, className: side(place) })));
  made.tHead.replaceChildren(head);
  made.tBodies[0].replaceChildren(...rows.map(([first, ...others]) => {
    const line = document.createElement("tr");
    line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: first }));
    line.append(...others.map(textContent =>
      Object.assign(document.createElement("td"), { textContent, className: "n" })));
    return line;
  }));
}

function list(id, texts) {
  const made = texts.map(text => Object.assign(document.createElement("li"), { textContent: sentence(text) }));
  by(id).replaceChildren(...made);
}

function refused(refusal) {
  settled(true);
  by("answer").classList.toggle("empty", latest === null);
  by("state").textContent = `These choices cannot be${latest ? ": what is shown is of those before" : ""}.`;
  refuse(refusal);
}

const askEstimate = teller("/api/estimate", 0, show, refused);
const askOffers = teller("/api/offers", OFFERS_WAIT_MS, answer => {
  by("chart-offers").setAttribute("aria-busy", "false");
  showOffers(answer);
}, refusal => {
  by("chart-offers").setAttribute("aria-busy", "false");
  by("said-offers").textContent = `${sentence(refusal.error)}.`;
});

function ask(more = "") {
  for (const id of ["answer", "chart-offers"]) by(id).setAttribute("aria-busy", "true");
  askEstimate(query() + more);
  askOffers(query() + more);
}

function changed({ target }) {
  offerTraining();
  history.replaceState(null, "", `?${query()}`);
  if (target.name !== "against") ask();
  else if (offered) showOffers(offered);
}

// A device among all is chosen by a click, or by Enter; one of it.
function take(name) {
  choose(by("choose-on"), name);
  choose(by("choose-count"), "");
  changed({ target: by("choose-on") });
}

form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("change", changed);
by("choose-against").addEventListener("change", changed);  // it stands outside of the form
addEventListener("popstate", () => {
  readAddress();
  ask();
});
for (const name of NAMES) by(`chart-${name}`).addEventListener("keydown", event => walk(name, event));
by("chart-offers").addEventListener("click", event => {
  const hit = charts.offers?.chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false)[0];
  const found = hit && charts.offers.points.find(({ set, index }) => set === hit.datasetIndex && index === hit.index);
  if (found) take(found.name);
});
by("chart-offers").addEventListener("keydown", event => {
  if (event.key === "Enter" && charts.offers?.at >= 0) take(charts.offers.points[charts.offers.at].name);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (latest) show(latest); });
readAddress();
ask(surplus().map(name => `&${encodeURIComponent(name)}=`).join(""));
