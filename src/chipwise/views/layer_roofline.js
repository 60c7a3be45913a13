"use strict";
// Draws the roofline to the width there is, again whenever that changes; says which layer is pointed at.
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view"), about = document.getElementById("about");
const rows = new Map([...document.querySelectorAll("tr[data-dot]")].map(row => [Number(row.dataset.dot), row]));
const [left, right, bottom, top_] = data.frame;
const PAD = { left: 80, right: 12, top: 16, bottom: 42 };
const marks = [...data.dots.keys()];
let size = { width: 0, height: 0 }, at = -1;

function make(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  view.append(element);
  return element;
}

const share = (value, low, high) => Math.log(value / low) / Math.log(high / low);
const x = value => PAD.left + share(value, left, right) * (size.width - PAD.left - PAD.right);
const y = value => size.height - PAD.bottom - share(value, bottom, top_) * (size.height - PAD.top - PAD.bottom);
const powers = (low, high) => {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
};
const radius = dot => Math.sqrt(9 + 900 * dot.share) * Math.min(1, 0.55 + size.width / 1600);

function prefixed(power) {
  const place = Math.max(0, Math.min(5, Math.floor(power / 3)));
  return `${10 ** (power - 3 * place)} ${["", "k", "M", "G", "T", "P"][place]}FLOP/s`;
}

function draw() {
  size = { width: view.clientWidth, height: Math.round(Math.max(300, Math.min(560, view.clientWidth * 0.62))) };
  view.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  view.style.height = `${size.height}px`;
  view.replaceChildren();
  axes();
  roofs();
  data.dots.forEach((dot, index) => {
    marks[index] = make("circle", { cx: x(dot.x), cy: y(Math.max(dot.y, bottom)), r: radius(dot), class: dot.bound });
  });
  if (data.whole) {
    const [cx, cy] = [x(data.whole.x), y(data.whole.y)];
    make("path", { class: "whole", d: `M${cx - 6} ${cy}L${cx} ${cy - 6}L${cx + 6} ${cy}L${cx} ${cy + 6}Z` });
  }
  if (at >= 0) point(at);
}

function axes() {
  for (const power of powers(left, right)) {
    make("line", { class: "grid", x1: x(10 ** power), x2: x(10 ** power), y1: PAD.top, y2: size.height - PAD.bottom });
    const value = power < 0 ? (10 ** power).toFixed(-power) : (10 ** power).toLocaleString("en");
    make("text", { x: x(10 ** power), y: size.height - PAD.bottom + 15, "text-anchor": "middle" }, value);
  }
  for (const power of powers(bottom, top_)) {
    make("line", { class: "grid", x1: PAD.left, x2: size.width - PAD.right, y1: y(10 ** power), y2: y(10 ** power) });
    make("text", { x: PAD.left - 6, y: y(10 ** power) + 4, "text-anchor": "end" }, prefixed(power));
  }
  make("text", { x: (PAD.left + size.width) / 2, y: size.height - 8, "text-anchor": "middle" },
    "arithmetic intensity, FLOP per byte moved");
}

function roofs() {
  data.roofs.forEach((roof, place) => {
    const start = data.bandwidth ? Math.max(left, roof.y / data.bandwidth) : left;
    const strong = place ? " other" : "";
    make("path", { class: `roof${strong}`, d: `M${x(start)} ${y(roof.y)}H${size.width - PAD.right}` });
    make("text", { class: place ? "" : "strong", x: size.width - PAD.right - 4, y: y(roof.y) - 5, "text-anchor": "end" },
      roof.text);
  });
  if (!data.bandwidth) return;
  const foot = Math.max(left, bottom / data.bandwidth), ridge = data.roofs[0].y / data.bandwidth;
  if (ridge <= foot) return;
  const [x1, y1, x2, y2] = [x(foot), y(foot * data.bandwidth), x(ridge), y(data.roofs[0].y)];
  make("path", { class: "roof", d: `M${x1} ${y1}L${x2} ${y2}` });
  const angle = Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI;
  make("text", { class: "strong", transform: `translate(${x1 + 14} ${y1 - 14 * (y1 - y2) / (x2 - x1) - 6}) rotate(${angle})` },
    data.slope);
}

// What is said: a layer's name and numbers. `place` is the number of a dot, or -1 for all layers.
function point(place) {
  for (const element of document.querySelectorAll(".at")) element.classList.remove("at");
  at = place;
  const dot = place < 0 ? data.whole : data.dots[place];
  if (!dot) return;
  if (place >= 0) {
    marks[place].classList.add("at");
    rows.get(place)?.classList.add("at");
  }
  const name = document.createElement("strong");
  name.textContent = dot.name;
  about.replaceChildren(name, dot.about);
}

function nearest(event) {
  const box = view.getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  const gap = (dot, reach) => Math.hypot(x(dot.x) - px, y(Math.max(dot.y, bottom)) - py) - reach;
  let best = { gap: data.whole ? gap(data.whole, 6) : Infinity, place: -1 };
  data.dots.forEach((dot, place) => {
    const here = Math.max(gap(dot, radius(dot)), 0);
    if (here <= best.gap) best = { gap: here, place };
  });
  if (best.gap < 40) point(best.place);
}

view.addEventListener("pointermove", nearest);
view.addEventListener("pointerdown", nearest);
view.addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step || !data.dots.length) return;
  event.preventDefault();
  point((Math.max(at, step > 0 ? -1 : 0) + step + data.dots.length) % data.dots.length);
});
for (const [place, row] of rows) row.addEventListener("click", () => point(place));
new ResizeObserver(() => { if (view.clientWidth !== size.width) draw(); }).observe(view);
draw();
