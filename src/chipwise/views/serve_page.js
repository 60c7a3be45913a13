// Asks the server once a second, and shows what it says; all of it goes in as text.
const EVERY_MS = 1000, RECENT_S = 10, PATIENCE_MS = 15000;
const STATUSES = {
  400: "malformed or unfit", 401: "no token", 404: "no such thing", 405: "wrong method", 408: "too slow",
  413: "too large", 415: "unknown encoding", 500: "failed", 503: "no room", 504: "no answer in time",
};
const COLOURS = [["ink", "total"], ["peer", "queue"], ["third", "copy"], ["accent", "compute"]];
const LEVELS = [["peer", "waiting", GAUGES[0]], ["accent", "running", GAUGES[1]]];
const by = id => document.getElementById(id);
const known = new Map();  // what is said of a model, by name and version
let token = "", before = null, edges = [], ticks = [], at = null, gauges = [], listed = "";

class Refused extends Error {}

async function ask(path, options = {}, patience = PATIENCE_MS) {
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const careful = { cache: "no-store", credentials: "omit", redirect: "error", signal: AbortSignal.timeout(patience) };
  const response = await fetch(path, { ...careful, ...options, headers });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw Object.assign(new Refused(String(said.error ?? response.statusText)), { status: response.status });
}

function tell(state, lamp) {
  if (by("state").textContent !== state) by("state").textContent = state;  // it is read out when it changes
  by("lamp").className = lamp;
}

function lock(reason) {
  [token, before, ticks] = ["", null, []];
  by("open").hidden = true;
  by("locked").hidden = false;
  by("denied").textContent = reason;
  tell("It wants a token.", "");
  by("token").focus();
}

async function poll() {
  if (document.body.hasAttribute("data-token") && !token) return;
  try {
    if (!document.hidden) await once();
  } catch (error) {
    if (error.status === 401) return lock("The server does not know this token.");
    tell(error instanceof Refused ? error.message : "No answer; asking again every second.", "bad");
    before = null;
  }
  setTimeout(poll, EVERY_MS);
}

async function once() {
  const [text, index] = await Promise.all([
    ask("/metrics").then(response => response.text()),
    ask("/v2/repository/index", { method: "POST" }).then(response => response.json()),
  ]);
  const now = readings(text), time = performance.now() / 1000;
  edges = bounds(now);
  gauges = [...now.values()].filter(row => GAUGES.includes(row.name));
  if (before) count(changes(before.now, now), time, time - before.time);
  before = { now, time };
  await models(index);
  by("locked").hidden = true;
  by("open").hidden = false;
  const [all, ready] = [index.length, index.filter(model => model.state === "READY").length];
  tell(`${ready} of ${all} ${all === 1 ? "model" : "models"} ready`, ready === all ? "good" : ready ? "" : "bad");
  draw();
}

function count(rows, time, seconds) {
  ticks = ticks.filter(tick => time - tick.time < SPAN_S);
  ticks.push({ rows, gauges, time, seconds, points: new Map() });
}

const level = (rows, name, model) =>
  rows.reduce((sum, row) => row.name === name && ofModel(row, model) ? sum + row.value : sum, 0);

// What is drawn of one reading, for one model or all; worked out once.
function point(place, model) {
  const tick = ticks[place];
  if (!tick.points.has(model)) {
    const recent = ticks.filter(each => each.time <= tick.time && tick.time - each.time < RECENT_S);
    const rows = recent.flatMap(each => each.rows), seconds = recent.reduce((sum, each) => sum + each.seconds, 0);
    const split = share => Object.fromEntries(PARTS.map(part => [part, quantile(rows, edges, part, share, model)]));
    tick.points.set(model, {
      rate: total(tick.rows, [ANSWERED], model) / tick.seconds, recent: total(rows, [ANSWERED], model) / seconds,
      rejected: total(tick.rows, REJECTED, model) / tick.seconds, p50: split(0.5), p99: split(0.99),
      ...Object.fromEntries(LEVELS.map(([, name, series]) => [name, level(tick.gauges, series, model)])),
    });
  }
  return tick.points.get(model);
}

function draw() {
  const model = by("of").value, points = ticks.map((_, place) => point(place, model));
  const last = ticks.length ? ticks[ticks.length - 1].time : 0, ages = ticks.map(tick => last - tick.time);
  const seen = at === null || at >= points.length ? points.length - 1 : at, rows = ticks.flatMap(tick => tick.rows);
  const when = seen < points.length - 1 ? ` ${Math.round(ages[seen])} s ago` : "";

  // One chart with its legend; `series` are [colour, name, value of a point].
  const lines = (name, series, format, least) => {
    drawLines(by(`chart-${name}`), ages, series.map(([colour, , of]) => [colour, points.map(of)]), format, at, least);
    const said = ([colour, each, of]) => [colour, `${each}${when}`, format(points.length ? of(points[seen]) : null)];
    legend(by(`legend-${name}`), series.map(said));
  };
  lines("rate", [["accent", "answered", each => each.rate]], asRate);
  lines("rejected", [["bad", "rejected", each => each.rejected]], asRate);
  for (const name of ["p50", "p99"]) {
    lines(name, COLOURS.map(([colour, part]) => [colour, part, each => each[name][part]]), asTime);
  }
  lines("load", LEVELS.map(([colour, name]) => [colour, name, each => each[name]]), asCount, 2);
  const why = counted(rows, REJECTED, "status", model);
  if (why.length && !when) {
    const said = ([status, times]) => ["", `${status} ${STATUSES[status] ?? ""}`, `${digits(times)}×`];
    legend(by("legend-rejected"), why.map(said));
  }
  const batches = counted(rows, [CALLS], "batch", model);
  drawBars(by("chart-batch"), batches);
  const [calls, items] = batches.reduce(([sum, all], [size, times]) => [sum + times, all + size * times], [0, 0]);
  legend(by("legend-batch"), [["", "calls", digits(calls)], ["", "items a call", calls ? digits(items / calls) : "–"]]);
  tiles(points[points.length - 1], model);
}

function tiles(latest, model) {
  const [waiting, running] = GAUGES.map(name => level(gauges, name, model));
  by("now-rate").textContent = asCount(latest?.recent ?? null);
  by("now-p50").textContent = asTime(latest?.p50.total ?? null);
  by("now-p99").textContent = asTime(latest?.p99.total ?? null);
  by("now-waiting").textContent = digits(waiting);
  by("now-running").textContent = `${digits(running)} ${running === 1 ? "call runs" : "calls run"}`;
  by("now-rejected").textContent = digits(total(ticks.flatMap(tick => tick.rows), REJECTED, model));
}

// The table and both lists of models; drawn again when one of them changes.
async function models(index) {
  const stamp = JSON.stringify(index);
  if (stamp === listed) return;
  const told = await Promise.all(index.map(facts));
  by("models").tBodies[0].replaceChildren(...index.map((model, place) => row(model, told[place])));
  choices(by("of"), [["", "all models"], ...index.map(({ name }) => [name, name])]);
  const triable = index.filter(({ state }, place) => state === "READY" && told[place].route);
  choices(by("try-model"), triable.map(({ name }) => [name, name]));
  by("try").hidden = !triable.length;
  by("untriable").hidden = Boolean(triable.length);
  listed = stamp;
}

async function facts({ name, version, state }) {
  const nothing = { inputs: [], outputs: [], task: "", route: "", labels: [] }, key = `${name}/${version}`;
  if (state !== "READY") return nothing;
  if (!known.has(key)) {
    const path = `/v2/models/${encodeURIComponent(name)}`;
    const [model, config] = await Promise.all([path, `${path}/config`].map(each => ask(each).then(said => said.json())));
    const said = key => config.parameters[key]?.string_value ?? "";
    known.set(key, {
      inputs: model.inputs, outputs: model.outputs, task: said("task"), route: said("picture_route"),
      labels: said("labels") ? JSON.parse(said("labels")) : [],
    });
    known.set(name, known.get(key));
  }
  return known.get(key);
}

function row(model, told) {
  const line = document.createElement("tr"), name = document.createElement("th");
  name.scope = "row";
  name.textContent = model.name;
  const state = cell("state", model.state.toLowerCase());
  state.classList.add(model.state === "READY" ? "good" : "bad");
  if (model.reason) state.append(Object.assign(document.createElement("small"), { textContent: model.reason }));
  line.append(name, state, cell("version", model.version ?? "–"), cell("for", told.task || "–"));
  for (const side of ["inputs", "outputs"]) line.append(tensors(side, told[side]));
  return line;
}

function cell(label, text) {
  const made = Object.assign(document.createElement("td"), { textContent: text });
  made.dataset.label = label;
  return made;
}

function tensors(side, specs) {
  const made = cell(side, specs.length ? "" : "–"), all = document.createElement("div");
  for (const spec of specs) {
    const shape = spec.shape.map((dim, place) => dim >= 0 ? dim : place ? "?" : "N").join(", ");
    const said = `${spec.name} ${spec.datatype} [${shape}]`;
    all.append(Object.assign(document.createElement("code"), { textContent: said }));
  }
  if (specs.length) made.append(all);
  return made;
}

function choices(list, rows) {
  const chosen = list.value;
  list.replaceChildren(...rows.map(([value, text]) => new Option(text, value)));
  if (rows.some(([value]) => value === chosen)) list.value = chosen;
}

async function look(event) {
  event.preventDefault();
  const [file, name] = [by("try-file").files[0], by("try-model").value], { route, labels } = known.get(name);
  by("try-go").disabled = true;
  by("try-said").className = "quiet";
  by("try-said").textContent = "Looking …";
  clearAnswer();
  try {
    const began = performance.now(), path = `/v2/models/${encodeURIComponent(name)}/${route}`;
    const options = { method: "POST", body: file, headers: { "Content-Type": file.type || "application/octet-stream" } };
    const response = await ask(path, options, 10 * PATIENCE_MS), took = (performance.now() - began) / 1000;
    await showPicture(file);
    by("answer").hidden = false;
    await showAnswer(route, response, labels);
    by("try-said").textContent = `${name} answered in ${asTime(took)}, sending included.`;
  } catch (error) {
    by("try-said").className = "warn";
    by("try-said").textContent = error instanceof Refused ? error.message : "No answer from the server.";
  } finally {
    by("try-go").disabled = false;
  }
}

function pointed(event) {
  const box = event.currentTarget.getBoundingClientRect(), last = ticks.length ? ticks[ticks.length - 1].time : 0;
  const age = (box.right - PAD.right - event.clientX) / (box.width - PAD.left - PAD.right) * SPAN_S;
  const gaps = ticks.map(tick => Math.abs(last - tick.time - age));
  at = gaps.length ? gaps.indexOf(Math.min(...gaps)) : null;
  draw();
}

by("host").textContent = location.host;
by("try").addEventListener("submit", look);
by("of").addEventListener("change", draw);
by("unlock").addEventListener("submit", event => {
  event.preventDefault();
  const given = by("token").value.trim();
  by("token").value = "";
  if (!/^[!-~]+$/.test(given)) return lock("A token is printable ASCII without spaces.");
  token = given;
  by("denied").textContent = "";
  by("locked").hidden = true;  // one answer, one loop
  return poll();
});
for (const name of ["rate", "rejected", "p50", "p99", "load"]) {
  by(`chart-${name}`).addEventListener("pointermove", pointed);
  by(`chart-${name}`).addEventListener("pointerleave", () => { at = null; draw(); });
}
new ResizeObserver(() => { if (!by("open").hidden) draw(); }).observe(by("charts"));
if (document.body.hasAttribute("data-token")) lock("");
else poll();
