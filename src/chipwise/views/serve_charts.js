// Charts that are drawn to the width there is: lines along the last two minutes, and bars by batch size.
const SPAN_S = 120, PAD = { left: 52, right: 10, top: 10, bottom: 20 };

function make(view, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  view.append(element);
  return element;
}

// The next of 1, 2, 5, 10 ...: where an axis from 0 ends.
function rounded(most) {
  if (!(most > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map(step => step * power).find(end => end >= most * 0.999);
}

function frame(view) {
  const [width, height] = [view.clientWidth, view.clientHeight];
  view.setAttribute("viewBox", `0 0 ${width} ${height}`);
  view.replaceChildren();
  return { width, height, right: width - PAD.right, floor: height - PAD.bottom };
}

function axis(view, size, end, format) {
  const y = value => size.floor - value / end * (size.floor - PAD.top);
  for (const value of [0, end / 2, end]) {
    make(view, "line", { class: "grid", x1: PAD.left, x2: size.right, y1: y(value), y2: y(value) });
    make(view, "text", { x: PAD.left - 6, y: y(value) + 4, "text-anchor": "end" }, format(value));
  }
  return y;
}

// `series` are [colour, values]; a value of null leaves a gap. `ages` are seconds before the last reading; the axis
// ends at `least` or above.
function drawLines(view, ages, series, format, at, least = 0) {
  const size = frame(view);
  const most = Math.max(...series.flatMap(([, values]) => values.map(value => value ?? 0)), 0);
  const y = axis(view, size, Math.max(rounded(most), least), format);
  const x = age => size.right - Math.min(age / SPAN_S, 1) * (size.right - PAD.left);
  const marks = [[SPAN_S, "2 min ago", "start"], [SPAN_S / 2, "1 min", "middle"], [0, "now", "end"]];
  for (const [age, text, anchor] of marks) {
    make(view, "text", { x: x(age), y: size.height - 5, "text-anchor": anchor }, text);
  }
  if (at !== null && at in ages) {
    make(view, "line", { class: "cursor", x1: x(ages[at]), x2: x(ages[at]), y1: PAD.top, y2: size.floor });
  }
  for (const [colour, values] of series) {
    let [path, pen] = ["", false];
    values.forEach((value, place) => {
      const goes = value !== null;
      if (goes) path += `${pen ? "L" : "M"}${x(ages[place]).toFixed(1)} ${y(value).toFixed(1)}${pen ? "" : "h0"}`;
      pen = goes;
    });
    make(view, "path", { class: colour, d: path || "M0 0" });
  }
}

function drawBars(view, rows) {
  const size = frame(view);
  const y = axis(view, size, Math.max(rounded(Math.max(...rows.map(([, count]) => count), 0)), 2), asCount);
  if (!rows.length) {
    make(view, "text", { x: (PAD.left + size.right) / 2, y: size.floor - 12, "text-anchor": "middle" },
      "no calls");
  }
  const step = (size.right - PAD.left) / Math.max(rows.length, 4), wide = Math.min(step * 0.7, 44);
  const every = Math.ceil(24 / step);
  rows.forEach(([batch, count], place) => {
    const middle = PAD.left + step * (place + 0.5);
    const bar = { x: middle - wide / 2, width: wide, y: y(count), height: size.floor - y(count), rx: 2 };
    make(view, "rect", { class: "accent", ...bar });
    if (place % every === 0) make(view, "text", { x: middle, y: size.height - 5, "text-anchor": "middle" }, batch);
  });
}

// What the lines are, each with its value; `rows` are [colour or "", name, value].
function legend(list, rows) {
  list.replaceChildren(...rows.map(([colour, name, value]) => {
    const line = document.createElement("li"), number = document.createElement("b");
    if (colour) line.append(Object.assign(document.createElement("i"), { className: colour }));
    number.textContent = value;
    line.append(`${name} `, number);
    return line;
  }));
}
