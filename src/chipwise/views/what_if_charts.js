// Charts by Chart.js: the roofline, the scaling curve, and all devices. Colours are the page's.
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.plugins.legend.labels.usePointStyle = true;
const POWERS = ["", "k", "M", "G", "T", "P"], SUPERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const BOUNDS = { compute: "accent", memory: "peer", launch: "muted", unknown: "bad" };
const DECADES = 1e7;  // that a roofline shows: what lies lower takes no time worth a look
// What the time of all devices is drawn against: the field, for how many items, what it is called, and how it is said.
const MEASURES = {
  rent: { field: "rent_usd", times: 1000, title: "US dollars of rent for a million", format: value => dollars(value) },
  buy: { field: "buy_usd", times: 1000, title: "US dollars, bought, for a million", format: value => dollars(value) },
  energy: { field: "thousand_j", times: 1, title: "energy for a thousand", format: value => `${scaled(value)}J` },
};
const charts = {};

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faded = (name, share) => `color-mix(in srgb, ${colour(name)} ${100 * share}%, transparent)`;
const percent = value => `${digits(100 * value)}%`;
const scaled = value => {
  const place = value >= 1 ? Math.min(5, Math.floor(Math.log10(value) / 3 + 1e-9)) : 0;
  return `${digits(value / 1000 ** place)} ${POWERS[place]}`;
};
// Small amounts without a row of zeros.
function dollars(value) {
  if (value >= 1e-3 || value === 0) return `$${digits(value)}`;
  const power = Math.floor(Math.log10(value) + 1e-9), factor = digits(value / 10 ** power);
  return `$${factor === "1" ? "" : `${factor}×`}10⁻${[...String(-power)].map(each => SUPERS[each]).join("")}`;
}

function axis(title, more = {}) {
  return {
    title: { display: true, text: title, color: colour("muted") }, grid: { color: colour("line") },
    border: { display: false }, ...more,
    ticks: { color: colour("muted"), maxRotation: 0, autoSkipPadding: 8, ...more.ticks },
  };
}

// A logarithmic axis, with ticks at powers of ten, and at 2 and 5 where there are few of those.
function logarithmic(title, format, values, more = {}) {
  const min = more.min ?? Math.min(...values) / 1.6, max = more.max ?? Math.max(...values) * 1.6;
  const factors = Math.log10(max / min) > 2.5 ? [1] : [1, 2, 5], ticks = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); power += 1) {
    ticks.push(...factors.map(factor => factor * 10 ** power).filter(value => value >= min && value <= max));
  }
  const afterBuildTicks = scale => { scale.ticks = ticks.map(value => ({ value })); };
  return axis(title, { type: "logarithmic", min, max, afterBuildTicks, ticks: { callback: format, autoSkip: false } });
}

// Draws a chart anew. `points` are {set, index, name, text} in the order in which arrow keys go through them.
function draw(name, type, datasets, options, points, labels) {
  charts[name]?.chart.destroy();
  const found = item => points.find(({ set, index }) => set === item.datasetIndex && index === item.dataIndex);
  options.plugins = {
    ...options.plugins,
    legend: { labels: { color: colour("ink"), boxHeight: 7, filter: item => !item.text.startsWith("_") } },
    tooltip: {
      filter: item => found(item) !== undefined,
      callbacks: { title: ([item]) => item && found(item).name, label: item => found(item).text.split("; ") },
      backgroundColor: colour("ink"), titleColor: colour("paper"), bodyColor: colour("paper"), displayColors: false,
    },
  };
  charts[name] = { chart: new Chart(by(`chart-${name}`), { type, data: { labels, datasets }, options }), points, at: -1 };
}

// Says a point, and shows it as if it were pointed at.
function point(name, place) {
  const { chart, points } = charts[name], { set, index, name: title, text } = points[place];
  const active = [{ datasetIndex: set, index }], spot = chart.getDatasetMeta(set).data[index];
  charts[name].at = place;
  chart.setActiveElements(active);
  chart.tooltip.setActiveElements(active, { x: spot.x, y: spot.y });
  chart.update();
  const strong = Object.assign(document.createElement("strong"), { textContent: title });
  by(`pointed-${name}`).replaceChildren(strong, `: ${text}`);
}

function walk(name, event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const { at, points } = charts[name] ?? { points: [] };
  if (!step || !points.length) return;
  event.preventDefault();
  point(name, at < 0 ? (step > 0 ? 0 : points.length - 1) : (at + step + points.length) % points.length);
}

// Layers that do arithmetic, the longest first: small ones are drawn over large ones.
function dotsOf(rows) {
  const drawn = rows.filter(row => row.flops > 0 && row.moved_bytes > 0 && row.time_s > 0);
  const all = rows.reduce((sum, row) => sum + row.time_s, 0);
  return drawn
    .map(row => ({ row, x: row.flops / row.moved_bytes, y: row.flops / row.time_s, share: row.time_s / all }))
    .sort((a, b) => b.share - a.share);
}

function drawRoofline({ estimation, roofs, bandwidth_bytes_s: bandwidth }) {
  const dots = dotsOf(estimation.forecasts[0].estimate.rows), sets = [], points = [];
  const top = Math.max(...roofs.map(roof => roof.flops_s), ...dots.map(dot => dot.y), 1);
  const lowest = Math.max(Math.min(...dots.map(dot => dot.y), top), top / DECADES) / 2;
  const ridge = roofs.length && bandwidth ? roofs[0].flops_s / bandwidth : 1;
  const left = Math.min(...dots.map(dot => dot.x), ridge) / 1.6;
  const right = Math.max(...dots.map(dot => dot.x), 4 * ridge) * 1.6;
  for (const [bound, ink] of Object.entries(BOUNDS)) {
    const own = dots.filter(dot => dot.row.bound === bound), radius = own.map(dot => Math.sqrt(12 + 1500 * dot.share));
    if (!own.length) continue;
    own.forEach((dot, index) => points.push({ set: sets.length, index, ...aboutLayer(dot), share: dot.share }));
    sets.push({
      label: `bound by ${bound}`, data: own.map(({ x, y }) => ({ x, y: Math.max(y, lowest) })), pointRadius: radius,
      pointHoverRadius: radius.map(each => each + 2), backgroundColor: faded(ink, 0.55), borderColor: colour("paper"),
      hoverBorderColor: colour("ink"), hoverBorderWidth: 2,
    });
  }
  const frame = { left, right, lowest, bandwidth };
  sets.push(...roofs.map((roof, place) => roofSet(roof, place, frame)));
  draw("roofline", "scatter", sets, {
    scales: {
      x: logarithmic("arithmetic intensity, FLOP per byte moved", digits, [], { min: left, max: right }),
      y: logarithmic("FLOP/s", scaled, [], { min: lowest, max: top * 2.5 }),
    },
    interaction: { mode: "nearest", intersect: true },
  }, points.sort((a, b) => b.share - a.share));
  return dots.length;
}

function aboutLayer({ row, x, y, share }) {
  const text = `${asTime(row.time_s)}, ${percent(share)} of the time of all layers; bound by ${row.bound}; `
    + `${digits(x)} FLOP a byte, ${scaled(y)}FLOP/s`;
  return { name: row.op ? `${row.name} (${row.op})` : row.name, text };
}

// The roof of a number format; the first has the slope of the memory.
function roofSet(roof, place, { left, right, lowest, bandwidth }) {
  const foot = Math.max(left, lowest / (bandwidth || Infinity)), knee = bandwidth ? roof.flops_s / bandwidth : left;
  const slope = bandwidth && !place ? [{ x: foot, y: foot * bandwidth }] : [];
  const flat = [{ x: Math.max(knee, left), y: roof.flops_s }, { x: right, y: roof.flops_s }];
  return {
    label: `${roof.format}: ${scaled(roof.flops_s)}FLOP/s`, data: [...slope, ...flat], type: "line", pointRadius: 0,
    pointHitRadius: 0, pointStyle: "line", borderColor: colour(place ? "muted" : "ink"), borderWidth: place ? 1 : 1.8,
    borderDash: place ? [4, 3] : [],
  };
}

// Share of a step in which a device waits for others: what is neither its work nor communication.
const waited = ({ efficiency, communication }) =>
  efficiency.mid === null ? null : Math.max(1 - efficiency.mid - communication.mid, 0);

function drawScaling({ scaling, count, item }) {
  const shares = pick => scaling.map(each => pick(each) === null ? null : 100 * pick(each));
  const most = scaling.some(each => each.efficiency.mid === null);  // nothing is known but that it is not better
  const sizes = scaling.map(each => each.count === count ? 7 : 3.5);
  const line = (label, data, ink, more = {}) => ({
    label, data, borderColor: colour(ink), backgroundColor: colour(ink), borderWidth: 2, pointRadius: sizes,
    pointHoverRadius: 8, clip: false, ...more,
  });
  const edge = { borderWidth: 0, pointRadius: 0, pointHitRadius: 0, backgroundColor: faded("accent", 0.16) };
  const middle = shares(each => each.efficiency.mid ?? each.efficiency.high);
  const sets = [
    line(most ? "efficiency, at most" : "efficiency", middle, "accent", { borderDash: most ? [4, 3] : [] }),
    line("communication that nothing hides", shares(each => each.communication.mid ?? 0), "peer"),
  ];
  if (!most) {
    sets.push(line("_low", shares(each => each.efficiency.low), "accent", edge));
    sets.push(line("_high", shares(each => each.efficiency.high), "accent", { ...edge, fill: "-1" }));
  }
  const points = scaling.flatMap((each, index) => {
    const name = each.count === 1 ? "1 device" : `${each.count} devices`;
    const rate = `${said(each.items_s, digits)} ${item}s a second`;
    return [
      { set: 0, index, name, text: `efficiency ${said(each.efficiency, percent)}; ${rate}` },
      { set: 1, index, name, text: `${percent(each.communication.mid ?? 0)} of a step is communication; ${rate}` },
    ];
  });
  const ticks = { callback: value => `${value}%` };
  draw("scaling", "line", sets, {
    scales: { x: axis("devices"), y: axis("share", { min: 0, max: 100, ticks }) },
    interaction: { mode: "nearest", intersect: false },
  }, points, scaling.map(each => String(each.count)));
}

// Writes names beside points, where there is room; `sets` are pairs of a data set's place and its names.
Chart.register({
  id: "names",
  afterDatasetsDraw(chart, _, { sets }) {
    const { ctx, chartArea: area } = chart;
    const spots = (sets ?? []).flatMap(([set]) => chart.getDatasetMeta(set).data);
    const taken = spots.map(({ x, y }) => ({ left: x - 5, right: x + 5, top: y - 5, floor: y + 5 }));
    ctx.save();
    ctx.font = `12px ${Chart.defaults.font.family}`;
    ctx.fillStyle = colour("ink");
    for (const [set, texts] of sets ?? []) {
      chart.getDatasetMeta(set).data.forEach((spot, index) => {
        const place = texts[index] && room(spot, ctx.measureText(texts[index]).width, area, taken);
        if (place) ctx.fillText(texts[index], ...place);
      });
    }
    ctx.restore();
  },
});

function room({ x, y }, width, area, taken) {
  for (const [left, floor] of [[x + 9, y - 7], [x - 9 - width, y - 7], [x + 9, y + 14], [x - 9 - width, y + 14]]) {
    const box = { left, right: left + width, top: floor - 11, floor: floor + 3 };
    const inside = box.left > area.left && box.right < area.right && box.top > area.top && box.floor < area.bottom;
    const meets = each => each.left < box.right && box.left < each.right && each.top < box.floor && box.top < each.floor;
    if (!inside || taken.some(meets)) continue;
    taken.push(box);
    return [left, floor];
  }
  return null;
}

// All devices of which the measure is known; how many those are.
function drawOffers({ offers }, against, chosen, item) {
  const { field, times, title, format } = MEASURES[against], usable = offers.filter(each => each[field]?.mid);
  const ahead = each => each.best.includes(against);
  const groups = [usable.filter(ahead), usable.filter(each => !ahead(each))];
  const value = each => times * each[field].mid;
  const sets = groups.map((own, set) => ({
    label: set ? "the others" : "nothing is both quicker and cheaper", showLine: !set, borderColor: faded("accent", 0.5),
    borderWidth: 1.5, data: own.map(each => ({ x: each.item_s.mid, y: value(each) })), pointBorderWidth: 2,
    backgroundColor: colour(set ? "pale" : "accent"), pointBackgroundColor: colour(set ? "pale" : "accent"),
    pointBorderColor: own.map(each => colour(each.device === chosen ? "ink" : "paper")), pointHoverRadius: 9,
    pointRadius: own.map(each => (each.device === chosen ? 8 : 6) - set),
  }));
  const points = groups.flatMap((own, set) => own.map((each, index) => {
    const text = `${asTime(each.item_s.mid)} each ${item}; ${format(value(each))} (${title} ${item}s); ${each.precision}`;
    return { set, index, name: each.device, text, time_s: each.item_s.mid };
  })).sort((a, b) => a.time_s - b.time_s);
  const names = groups.map((own, set) => [set, own.map(each => set && each.device !== chosen ? "" : each.device)]);
  draw("offers", "scatter", sets, {
    scales: {
      x: logarithmic(`time of each ${item}`, asTime, usable.map(each => each.item_s.mid)),
      y: logarithmic(`${title} ${item}s`, format, usable.map(value)),
    },
    interaction: { mode: "nearest", intersect: true }, plugins: { names: { sets: names } },
  }, points);
  return usable.length;
}
