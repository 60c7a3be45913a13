// Charts by Chart.js: the roofline, the scaling curve, and all devices. Colours are the page's.
Chart.defaults.animation = false;
Chart.defaults.maintainAspectRatio = false;
Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
Chart.defaults.plugins.legend.labels.usePointStyle = true;
const POWERS = ["", "k", "M", "G", "T", "P"], SUPERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const BOUNDS = { compute: "accent", memory: "peer", launch: "muted", unknown: "bad" };
const charts = {};

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faded = (name, share) => `color-mix(in srgb, ${colour(name)} ${100 * share}%, transparent)`;
const scaled = value => {
  const place = value >= 1 ? Math.min(5, Math.floor(Math.log10(value) / 3 + 1e-9)) : 0;
  return `${digits(value / 1000 ** place)} ${POWERS[place]}`;
};
// Ticks of logarithmic axes: at powers of ten, and at 2 and 5 where there are few of those.
function ticked(format) {
  return function (value) {
    const { min, max } = this, first = Number(value.toPrecision(1)) / 10 ** Math.floor(Math.log10(value) + 1e-9);
    const decades = Math.log10(max / min), kept = decades > 2.5 ? [1] : [1, 2, 5];
    return kept.includes(Math.round(first * 10) / 10) ? format(value) : "";
  };
}

function axis(title, more = {}) {
  return {
    title: { display: true, text: title, color: colour("muted") }, grid: { color: colour("line") },
    border: { display: false }, ...more, ticks: { color: colour("muted"), maxRotation: 0, autoSkipPadding: 8, ...more.ticks },
  };
}

const logarithmic = (title, format, more = {}) =>
  axis(title, { type: "logarithmic", ...more, ticks: { callback: ticked(format), autoSkip: false } });

// Draws a chart anew; `points` are [dataset, index, name, text] in the order in which arrow keys go through them.
function draw(name, type, data, options, points) {
  const view = by(`chart-${name}`), before = charts[name];
  if (before) before.chart.destroy();
  const shown = { at: -1, points };
  options.plugins = {
    legend: { labels: { color: colour("ink"), boxHeight: 7, filter: item => !item.text.startsWith("_") } },
    ...options.plugins,
    tooltip: {
      filter: item => named(shown.points, item) !== undefined,
      callbacks: { title: items => items.map(item => named(shown.points, item)[2]).slice(0, 1), label: item => named(shown.points, item)[3] },
      backgroundColor: colour("ink"), titleColor: colour("paper"), bodyColor: colour("paper"), displayColors: false,
      ...options.plugins?.tooltip,
    },
  };
  shown.chart = new Chart(view, { type, data, options });
  charts[name] = shown;
}

const named = (points, item) => points.find(([set, place]) => set === item.datasetIndex && place === item.dataIndex);

// Says a point, and shows it as if it were pointed at.
function point(name, place) {
  const { chart, points } = charts[name], [set, index, title, text] = points[place];
  charts[name].at = place;
  const active = [{ datasetIndex: set, index }], spot = chart.getDatasetMeta(set).data[index];
  chart.setActiveElements(active);
  chart.tooltip.setActiveElements(active, { x: spot.x, y: spot.y });
  chart.update();
  say(name, title, text);
}

function say(name, title, text) {
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

function drawRoofline(answer) {
  const expected = answer.estimation.forecasts[0].estimate, rows = expected.rows.filter(row => row.flops > 0 && row.moved_bytes > 0 && row.time_s > 0);
  const whole = expected.rows.reduce((sum, row) => sum + row.time_s, 0), bandwidth = answer.bandwidth_bytes_s, roofs = answer.roofs;
  const dots = rows.map(row => ({ row, x: row.flops / row.moved_bytes, y: row.flops / row.time_s })).sort((a, b) => b.row.time_s - a.row.time_s);
  const top = Math.max(...roofs.map(roof => roof.flops_s), ...dots.map(dot => dot.y), 1);
  const lowest = Math.max(Math.min(...dots.map(dot => dot.y), top), top / 1e7) / 2;
  const ridge = roofs.length && bandwidth ? roofs[0].flops_s / bandwidth : 1;
  const left = Math.min(...dots.map(dot => dot.x), ridge) / 1.6, right = Math.max(...dots.map(dot => dot.x), 4 * ridge) * 1.6;
  const sets = [], points = [];
  for (const [bound, ink] of Object.entries(BOUNDS)) {
    const own = dots.filter(dot => dot.row.bound === bound);
    if (!own.length) continue;
    const radius = own.map(dot => Math.sqrt(9 + 700 * dot.row.time_s / whole));
    sets.push({
      label: `bound by ${bound}`, data: own.map(({ x, y }) => ({ x, y: Math.max(y, lowest) })), pointRadius: radius,
      pointHoverRadius: radius.map(each => each + 3), backgroundColor: faded(ink, .55), borderColor: colour("paper"), hoverBorderColor: colour("ink"),
    });
    own.forEach(({ row, x, y }, index) => points.push([sets.length - 1, index, row.op ? `${row.name} (${row.op})` : row.name,
      `${asTime(row.time_s)}, ${digits(100 * row.time_s / whole)}% of the layers' time, bound by ${bound}; ${digits(x)} FLOP a byte, ${scaled(y)}FLOP/s`, row.time_s]));
  }
  points.sort((a, b) => b[4] - a[4]);
  roofs.forEach((roof, place) => {
    const ink = place ? "muted" : "ink", foot = Math.max(left, lowest / (bandwidth || Infinity)), knee = bandwidth ? roof.flops_s / bandwidth : left;
    const slope = bandwidth && !place ? [{ x: foot, y: foot * bandwidth }] : [];
    sets.push({
      label: `${roof.format}: ${scaled(roof.flops_s)}FLOP/s`, data: [...slope, { x: Math.max(knee, left), y: roof.flops_s }, { x: right, y: roof.flops_s }],
      type: "line", pointRadius: 0, pointHitRadius: 0, pointStyle: "line", borderColor: colour(ink), borderWidth: place ? 1 : 1.8, borderDash: place ? [4, 3] : [],
    });
  });
  draw("roofline", "scatter", { datasets: sets }, {
    scales: {
      x: logarithmic("arithmetic intensity, FLOP per byte moved", digits, { min: left, max: right }),
      y: logarithmic("FLOP/s", scaled, { min: lowest, max: top * 2.5 }),
    },
    interaction: { mode: "nearest", intersect: true },
  }, points);
  return dots;
}

function drawScaling(answer) {
  const points = answer.scaling, percent = value => value === null ? null : 100 * value, floor = points.some(each => each.efficiency.mid === null);
  const middle = points.map(each => percent(each.efficiency.mid ?? each.efficiency.high)), talked = points.map(each => percent(each.communication.mid ?? 0));
  const large = points.map(each => each.count === answer.count ? 7 : 3.5);
  const line = (label, data, ink, more = {}) => ({ label, data, borderColor: colour(ink), backgroundColor: colour(ink), borderWidth: 2, pointRadius: large, pointHoverRadius: 8, ...more });
  const edge = { borderWidth: 0, pointRadius: 0, pointHitRadius: 0, backgroundColor: faded("accent", .16) };
  const sets = [line(floor ? "efficiency, at most" : "efficiency", middle, "accent", { borderDash: floor ? [4, 3] : [] }), line("communication that nothing hides", talked, "peer")];
  if (!floor) {
    sets.push(line("_low", points.map(each => percent(each.efficiency.low)), "accent", edge));
    sets.push(line("_high", points.map(each => percent(each.efficiency.high)), "accent", { ...edge, fill: "-1" }));
  }
  const text = (each, set) => `${set ? `${digits(percent(each.communication.mid ?? 0))}% of a step is communication` : `efficiency ${said(each.efficiency, value => `${digits(percent(value))}%`)}`}; ${said(each.items_s, digits)} ${answer.item}s a second`;
  const walked = points.flatMap((each, index) => [0, 1].map(set => [set, index, each.count === 1 ? "1 device" : `${each.count} devices`, text(each, set)]));
  draw("scaling", "line", { labels: points.map(each => String(each.count)), datasets: sets }, {
    scales: { x: axis("devices"), y: axis("per cent", { min: 0, max: 105, ticks: { callback: value => value > 100 ? "" : `${value}%` } }) },
    interaction: { mode: "nearest", intersect: false },
  }, walked);
}

const MEASURES = {
  rent: ["rent_usd", "US dollars of rent for 1,000", value => `$${short(value)}`], buy: ["buy_usd", "US dollars of a bought one for 1,000", value => `$${short(value)}`],
  energy: ["thousand_j", "joules for 1,000", value => `${scaled(value)}J`],
};
// Small amounts without a row of zeros: $2.1×10⁻⁵.
function short(value) {
  if (value >= 1e-3) return digits(value);
  const power = Math.floor(Math.log10(value) + 1e-9), factor = digits(value / 10 ** power);
  return `${factor === "1" ? "" : `${factor}×`}10⁻${[...String(-power)].map(each => SUPERS[each]).join("")}`;
}

// Writes names beside the points that nothing beats, where there is room.
const names = {
  id: "names",
  afterDatasetsDraw(chart, _, { sets }) {
    const { ctx, chartArea } = chart, taken = [];
    ctx.save();
    ctx.font = `12px ${Chart.defaults.font.family}`;
    ctx.fillStyle = colour("ink");
    for (const [set, labels] of sets ?? []) {
      chart.getDatasetMeta(set).data.forEach((spot, index) => {
        const width = ctx.measureText(labels[index]).width;
        for (const [x, y] of [[spot.x + 9, spot.y - 7], [spot.x - 9 - width, spot.y - 7], [spot.x + 9, spot.y + 12], [spot.x - 9 - width, spot.y + 16]]) {
          const box = [x, y - 11, x + width, y + 3];
          const inside = x > chartArea.left && x + width < chartArea.right && y - 11 > chartArea.top && y < chartArea.bottom;
          if (!inside || taken.some(each => each[0] < box[2] && box[0] < each[2] && each[1] < box[3] && box[1] < each[3])) continue;
          taken.push(box);
          ctx.fillText(labels[index], x, y);
          return;
        }
      });
    }
    ctx.restore();
  },
};

function drawOffers(answer, against, chosen, item) {
  const [field, title, format] = MEASURES[against], usable = answer.offers.filter(each => each[field]?.mid);
  const best = usable.filter(each => each.best.includes(against)), rest = usable.filter(each => !each.best.includes(against));
  const spot = each => ({ x: each.item_s.mid, y: each[field].mid });
  const ring = own => own.map(each => each.device === chosen ? colour("ink") : colour("paper"));
  const size = (own, usualSize) => own.map(each => each.device === chosen ? usualSize + 2.5 : usualSize);
  const sets = [
    { label: "nothing is both quicker and cheaper", data: best.map(spot), showLine: true, borderColor: faded("accent", .5), borderWidth: 1.5, backgroundColor: colour("accent"), pointBackgroundColor: colour("accent"), pointBorderColor: ring(best), pointBorderWidth: 2, pointRadius: size(best, 6), pointHoverRadius: 9 },
    { label: "the others", data: rest.map(spot), backgroundColor: colour("pale"), pointBorderColor: ring(rest), pointBorderWidth: 2, pointRadius: size(rest, 5), pointHoverRadius: 8 },
  ];
  const about = each => `${asTime(each.item_s.mid)} an ${item}; ${format(each[field].mid)} for 1,000; ${each.precision}`;
  const points = [best, rest].flatMap((own, set) => own.map((each, index) => [set, index, each.device, about(each), each.item_s.mid])).sort((a, b) => a[4] - b[4]);
  draw("offers", "scatter", { datasets: sets }, {
    scales: { x: logarithmic(`seconds an ${item}`, asTime), y: logarithmic(`${title} ${item}s`, format) },
    interaction: { mode: "nearest", intersect: true },
    plugins: { names: { sets: [[0, best.map(each => each.device)], [1, rest.map(each => each.device === chosen ? each.device : "")]] } },
  }, points);
  return usable;
}
Chart.register(names);
