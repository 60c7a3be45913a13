// Asks the server whenever a choice changes, and shows what it says; all of it goes in as text.
const PARTS = ["weights", "copies", "saved", "activations", "gradients", "optimizer", "workspace", "rounding", "context"];
const DEFAULT_POINTED = Object.fromEntries(["roofline", "scaling", "offers"].map(name => [name, by(`pointed-${name}`).textContent]));
let latest = null, offered = null;

const asBytes = value => {
  const place = value < 1023.5 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${digits(value / 1024 ** place)} ${["B", "KiB", "MiB", "GiB", "TiB"][place]}`;
};
const asLarge = value => value >= 999500 ? scaled(value).trim() : digits(value);
// An interval's middle, or the bound that is known.
function said(interval, format) {
  if (!interval) return "–";
  if (interval.mid !== null) return format(interval.mid);
  if (interval.low !== null) return `≥ ${format(interval.low)}`;
  return interval.high !== null ? `≤ ${format(interval.high)}` : "not known";
}
const bounds = (interval, format) =>
  interval && interval.mid !== null && interval.low !== null && interval.high !== null ? `${format(interval.low)} – ${format(interval.high)}` : "";

// One question at a time: what is asked meanwhile is asked afterwards, the last of it alone.
function teller(path, wait, show, refused) {
  let busy = false, next = null, timer = 0;
  async function ask(asked) {
    if (busy) {
      next = asked;
      return;
    }
    busy = true;
    try {
      const response = await fetch(`${path}?${asked}`, { cache: "no-store", credentials: "omit", redirect: "error" });
      const answer = await response.json();
      if (next === null) (response.ok ? show : refused)(answer);
    } catch {
      if (next === null) refused({ error: "no answer from the server", hint: "is chipwise ui still running?" });
    } finally {
      busy = false;
    }
    if (next !== null) {
      const again = next;
      next = null;
      ask(again);
    }
  }
  return asked => {
    clearTimeout(timer);
    timer = setTimeout(ask, wait, asked);
  };
}

function show(answer) {
  latest = answer;
  clearRefusals();
  by("answer").classList.remove("stale");
  by("answer").setAttribute("aria-busy", "false");
  const expected = answer.estimation.forecasts[0].estimate, { workload } = expected;
  const where = answer.count === 1 ? expected.device : `${answer.count} × ${expected.device}`;
  by("title").textContent = `${answer.estimation.network} on ${where}`;
  document.title = `${by("title").textContent}: chipwise what if`;
  const format = workload.techniques.includes("amp") ? `amp (${workload.precision})` : workload.precision;
  const cut = answer.micro_batches > 1 ? `, ${answer.micro_batches} times ${workload.batch} each` : "";
  by("state").textContent = `${sentence(workload.phase)} in ${format}, ${digits(answer.batch)} ${answer.item}s a step${cut}${answer.link ? `, over ${answer.link}` : ""}; bound by ${expected.bound}.`;
  for (const place of document.querySelectorAll(".items")) place.textContent = sentence(`${answer.item}s`);
  tiles(answer);
  memory(answer);
  for (const [name, text] of Object.entries(DEFAULT_POINTED)) if (name !== "offers") by(`pointed-${name}`).textContent = text;
  table("roofline", ["layer", "time", "FLOPs", "bytes moved", "bound by"], expected.rows.map(row => [`${row.name}${row.op ? ` (${row.op})` : ""}`, asTime(row.time_s), scaled(row.flops).trim(), asBytes(row.moved_bytes), row.bound]));
  const dots = drawRoofline(answer), rest = expected.rows.length - dots.length;
  by("said-roofline").textContent = rest ? `${rest} ${rest === 1 ? "layer" : "layers"} without arithmetic ${rest === 1 ? "is" : "are"} in the numbers only.` : "";
  drawScaling(answer);
  const percent = value => `${digits(100 * value)}%`;
  table("scaling", ["devices", `${answer.item}s a second`, "efficiency", "from", "to", "communication"], answer.scaling.map(each => [
    String(each.count), said(each.items_s, digits), said(each.efficiency, percent), each.efficiency.low === null ? "–" : percent(each.efficiency.low), each.efficiency.high === null ? "–" : percent(each.efficiency.high), percent(each.communication.mid ?? 0)]));
  by("said-scaling").textContent = answer.scaling.length < 2 ? "No link between several of these is known: choose one to see how they scale." : "";
  list("notes", [...answer.notes, `method: ${expected.method}`]);
  if (offered) showOffers(offered);
}

function tiles(answer) {
  const fits = by("fits"), { capacity_bytes: capacity, memory_bytes: held } = answer, thousand = 1000 / answer.batch;
  fits.textContent = answer.fits === null ? "not known" : answer.fits ? "fits" : "does not fit";
  fits.className = answer.fits === null ? "" : answer.fits ? "yes" : "no";
  by("fits-said").textContent = `${said(held, asBytes)}${capacity === null ? "" : ` of ${asBytes(capacity)}`}${bounds(held, asBytes) ? `, ${bounds(held, asBytes)}` : ""}`;
  const times = value => interval => interval && Object.fromEntries(["low", "mid", "high"].map(each => [each, interval[each] === null ? null : interval[each] * value]));
  const tell = (name, interval, format, unit) => {
    by(name).textContent = said(interval, format);
    by(`${name}-said`).textContent = [bounds(interval, format), unit].filter(Boolean).join(" ");
  };
  const coverage = answer.step_s.coverage === null || answer.step_s.coverage === undefined ? "" : `holds ${digits(100 * answer.step_s.coverage)}%`;
  tell("step", answer.step_s, asTime, coverage && `(${coverage})`);
  tell("rate", answer.items_s, asLarge, "");
  tell("energy", times(thousand)(answer.energy_j), value => `${scaled(value)}J`, `for 1,000 ${answer.item}s`);
  for (const way of ["rent", "buy"]) {
    const found = answer.money.find(each => each.way === way);
    tell(way, found?.items_usd, asLarge, found ? `${answer.item}s a dollar` : "no price is known");
  }
}

function memory(answer) {
  const total = PARTS.reduce((sum, part) => sum + answer.memory[part], 0), capacity = answer.capacity_bytes;
  const full = Math.max(total, capacity ?? 0) || 1, bar = by("bar"), mid = answer.memory_bytes?.mid ?? null;
  const parts = PARTS.filter(part => answer.memory[part] > 0);
  const mark = (place, name) => {
    const line = Object.assign(document.createElement("b"), { className: name });
    line.style.left = `calc(${100 * Math.min(place / full, 1)}% - 2px)`;
    return line;
  };
  bar.replaceChildren(...parts.map(part => {
    const piece = Object.assign(document.createElement("i"), { className: part, title: `${part}: ${asBytes(answer.memory[part])}` });
    piece.style.width = `${100 * answer.memory[part] / full}%`;
    return piece;
  }), ...(mid === null ? [] : [mark(mid, "")]), ...(capacity !== null && capacity < full ? [mark(capacity, "full")] : []));
  bar.setAttribute("aria-label", `${asBytes(total)}${capacity === null ? "" : ` of ${asBytes(capacity)}`}: ${parts.map(part => `${part} ${asBytes(answer.memory[part])}`).join(", ")}`);
  by("parts").replaceChildren(...parts.map(part => {
    const line = document.createElement("li"), size = document.createElement("b");
    size.textContent = asBytes(answer.memory[part]);
    line.append(Object.assign(document.createElement("i"), { className: part }), `${part} `, size);
    return line;
  }));
  const room = capacity === null ? "How much memory the device has is not known." : capacity < full ? "The red mark is what there is." : "The whole bar is what there is.";
  by("memory-said").textContent = `${room}${mid === null ? "" : ` The dark mark is the expected peak: ${asBytes(mid)}. Parts are at their most, which they are not all at once.`}`;
}

function showOffers(answer) {
  offered = answer;
  const against = by("choose-against").value, item = latest?.item ?? "item", chosen = latest?.estimation.forecasts[0].estimate.device ?? "";
  const [field, title, format] = MEASURES[against], usable = drawOffers(answer, against, chosen, item);
  by("pointed-offers").textContent = DEFAULT_POINTED.offers;
  table("offers", ["device", `time an ${item}`, `${title} ${item}s`, "number format", "beaten"], answer.offers.map(each => [
    each.device, said(each.item_s, asTime), each[field] ? said(each[field], format) : "not known", each.precision, each[field] ? (each.best.includes(against) ? "by none" : "yes") : "–"]));
  const unpriced = answer.offers.length - usable.length, left = answer.left_out;
  by("said-offers").textContent = `One of each, at the same batch. ${unpriced ? `Of ${unpriced} more no such figure is known. ` : ""}${left.length ? `Left out are ${left.length}: ${left.slice(0, 4).map(each => each.reason).join("; ")}${left.length > 4 ? "; …" : "."}` : ""}`;
}

function table(name, heads, rows) {
  const made = by(`table-${name}`), head = document.createElement("tr");
  head.append(...heads.map((text, place) => Object.assign(document.createElement("th"), { scope: "col", textContent: text, className: place ? "n" : "" })));
  made.tHead.replaceChildren(head);
  made.tBodies[0].replaceChildren(...rows.map(([first, ...others]) => {
    const line = document.createElement("tr");
    line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: first }));
    line.append(...others.map(text => Object.assign(document.createElement("td"), { textContent: text, className: "n" })));
    return line;
  }));
}

function list(id, texts) {
  by(id).replaceChildren(...texts.map(text => Object.assign(document.createElement("li"), { textContent: sentence(text) })));
}

function stale(refusal) {
  clearRefusals();
  by("answer").classList.add("stale");
  by("answer").setAttribute("aria-busy", "false");
  by("state").textContent = "These choices cannot be; what is shown is of those before.";
  refuse(refusal);
}

const askEstimate = teller("/api/estimate", 0, show, stale);
const askOffers = teller("/api/offers", 250, showOffers, refusal => { by("said-offers").textContent = sentence(refusal.error); });

function asked(extra = "") {
  by("answer").setAttribute("aria-busy", "true");
  askEstimate(query() + extra);
  askOffers(query() + extra);
}

function changed(event) {
  if (event.target.name === "against" && offered) showOffers(offered);
  offerTraining();
  history.replaceState(null, "", `?${query()}`);
  if (event.target.name !== "against") asked();
}

form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("change", changed);
by("choose-against").addEventListener("change", changed);  // it stands outside of the form
addEventListener("popstate", () => { readAddress(); asked(); });
for (const name of ["roofline", "scaling", "offers"]) {
  by(`chart-${name}`).addEventListener("keydown", event => walk(name, event));
}
// A device among all is chosen by a click, or by Enter.
function take(name) {
  choose(by("choose-on"), name);
  choose(by("choose-count"), "");
  changed({ target: by("choose-on") });
}
by("chart-offers").addEventListener("click", event => {
  const { chart, points } = charts.offers ?? {}, [hit] = chart?.getElementsAtEventForMode(event, "nearest", { intersect: true }, false) ?? [];
  const found = hit && points.find(([set, place]) => set === hit.datasetIndex && place === hit.index);
  if (found) take(found[2]);
});
by("chart-offers").addEventListener("keydown", event => {
  const { at, points } = charts.offers ?? { at: -1 };
  if (event.key === "Enter" && at >= 0) take(points[at][2]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (latest) show(latest); });
readAddress();
asked(surplus().map(name => `&${encodeURIComponent(name)}=`).join(""));
