"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const view = document.getElementById("view"), world = document.getElementById("world");
const edges = document.getElementById("edges"), about = document.getElementById("about");
const search = document.getElementById("search"), hint = about.textContent;
const open = new Set(data.open), parents = new Map();
let size = [1, 1], at = { x: 0, y: 0, k: 1 }, spots = new Map(), placed = null;

(function note(block, path) {
  for (const node of block.nodes) {
    parents.set(node.n, path);
    if (node.g) note(node.g, [...path, node.n]);
  }
})(data.root, []);

// Sizes of a block as it is open now; boxes of a row move apart, or together, from where they stood at first.
function measure(block) {
  const rows = [];
  block.nodes.forEach((node, index) => {
    const inner = node.g && open.has(node.n) ? measure(node.g) : null;
    const [w, h] = inner ? [inner.w + 2 * data.pad, inner.h + data.head + data.pad] : node.c ?? node.s;
    (rows[node.r] ??= []).push({ index, inner, w, h, x: node.x, base: node.s[0] });
  });
  block.edges.forEach(([start], edge) => block.edges[edge][2].forEach((x, step) =>
    (rows[block.nodes[start].r + 1 + step] ??= []).push({ edge, step, w: 0, h: 0, x, base: 0 })));
  const spot = [], bends = block.edges.map(() => []), tops = [], bottoms = [];
  let y = 0, left = Infinity, right = -Infinity;
  rows.forEach((row, r) => {
    const tall = Math.max(...row.map(each => each.h));
    if (r) y += tall && bottoms[r - 1] > tops[r - 1] ? data.step : data.step / 3;
    row.sort((a, b) => a.x - b.x);
    let grown = row.reduce((sum, each) => sum + each.w - each.base, 0) / -2;
    for (const each of row) {
      grown += (each.w - each.base) / 2;
      each.x += grown;
      grown += (each.w - each.base) / 2;
      left = Math.min(left, each.x - each.w / 2);
      right = Math.max(right, each.x + each.w / 2);
      if (each.index === undefined) bends[each.edge][each.step] = each.x;
      else spot[each.index] = { ...each, y: y + (tall - each.h) / 2 };
    }
    tops[r] = y;
    bottoms[r] = y + tall;
    y += tall;
  });
  return { block, spot, bends, tops, bottoms, left, w: right - left, h: y };
}

// Straight through rows, bent between them; each point is x, and y from and to.
function curve(points) {
  let path = `M${points[0][0].toFixed(1)} ${points[0][1]}V${points[0][2]}`, before = points[0];
  for (const point of points.slice(1)) {
    const middle = (before[2] + point[1]) / 2, x = point[0].toFixed(1);
    path += `C${before[0].toFixed(1)} ${middle} ${x} ${middle} ${x} ${point[1]}V${point[2]}`;
    before = point;
  }
  return path;
}

// A title ends where its frame does; the tooltip has all of it.
function shorten(text, room) {
  const whole = text.dataset.whole ??= text.textContent;
  let most = whole.length;
  text.textContent = whole;
  if (text.getComputedTextLength() <= room) return;
  while (most > 1 && text.getSubStringLength(0, most) > room - 12) most--;
  text.textContent = whole.slice(0, most) + "…";
}

function show(made, dx, dy, lines) {
  made.block.nodes.forEach((node, index) => {
    const { x, y, w, h, inner } = made.spot[index];
    if (node.n < 0) return;
    const px = x - w / 2 - made.left + dx, py = y + dy;
    spots.set(node.n, [px, py, w, h]);
    const part = document.getElementById((inner ? "f" : "b") + node.n);
    part.classList.remove("gone");
    part.setAttribute("transform", `translate(${px} ${py})`);
    if (!inner) return;
    part.firstElementChild.nextElementSibling.setAttribute("width", w);
    part.firstElementChild.nextElementSibling.setAttribute("height", h);
    part.lastElementChild.setAttribute("x", w - 12);
    shorten(part.querySelector(".t"), w - 36);
    const [top, end] = inner.spot.slice(-2).map(port => port.x - inner.left + px + data.pad), middle = px + w / 2;
    lines.push(curve([[middle, py, py], [top, py + data.head, py + data.head]]));
    lines.push(curve([[end, py + h - data.pad, py + h - data.pad], [middle, py + h, py + h]]));
    show(inner, px + data.pad, py + data.head, lines);
  });
  made.block.edges.forEach(([start, end], edge) => {
    const from = made.spot[start], to = made.spot[end];
    const first = made.block.nodes[start].r, last = made.block.nodes[end].r;
    const points = [[from.x, from.y + from.h, made.bottoms[first]]];
    made.bends[edge].forEach((x, step) => points.push([x, made.tops[first + 1 + step], made.bottoms[first + 1 + step]]));
    points.push([to.x, made.tops[last], to.y]);
    lines.push(curve(points.map(([x, top, bottom]) => [x - made.left + dx, top + dy, bottom + dy])));
  });
}

function draw() {
  for (const part of world.querySelectorAll(".box, .end, .frame")) part.classList.add("gone");
  spots = new Map();
  const made = measure(data.root), lines = [];
  size = [made.w, made.h];
  show(made, 0, 0, lines);
  edges.replaceChildren(...lines.map(line => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", "edge");
    path.setAttribute("d", line);
    return path;
  }));
}

// The scale at which all is seen, and the scale within what can be read; only Fit asks for less than 0.02.
const whole = () => Math.max(1e-4, Math.min(1.25, (view.clientWidth - 32) / size[0], (view.clientHeight - 32) / size[1]));
const within = k => Math.min(Math.max(k, Math.min(0.02, whole())), 4);

function move(x, y, k) {
  placed = null;
  at = { x, y, k: within(k) };
  world.setAttribute("transform", `translate(${at.x} ${at.y}) scale(${at.k})`);
}

function zoom(factor, x = view.clientWidth / 2, y = view.clientHeight / 2) {
  const k = within(at.k * factor);
  move(x - (x - at.x) * k / at.k, y - (y - at.y) * k / at.k, k);
}

function place(k, how) {
  move((view.clientWidth - size[0] * k) / 2, Math.max(16, (view.clientHeight - size[1] * k) / 2), k);
  placed = how;
}

// All of it, however small it gets.
function fit() {
  place(whole(), fit);
}

// The whole width is seen; a long network starts at its top at a size that can be read.
function start() {
  place(Math.max(whole(), Math.min((view.clientWidth - 32) / size[0], 0.75)), start);
}

function toggle(number, wanted = !open.has(number)) {
  const before = spots.get(number);
  if (wanted) open.add(number);
  else open.delete(number);
  draw();
  const after = spots.get(number);
  if (before && after) move(at.x + (before[0] + before[2] / 2 - after[0] - after[2] / 2) * at.k, at.y + (before[1] - after[1]) * at.k, at.k);
  document.getElementById((wanted ? "f" : "b") + number)?.focus({ preventScroll: true });
}

function reveal(number) {
  parents.get(number).forEach(parent => open.add(parent));
  draw();
  const [x, y, w, h] = spots.get(number), k = Math.max(at.k, 0.7);
  move(view.clientWidth / 2 - (x + w / 2) * k, view.clientHeight / 2 - (y + h / 2) * k, k);
}

const number = part => Number(part.id.slice(1));
const part = event => event.target.closest(".box, .frame");
let held = null, found = [], turn = 0;
view.addEventListener("pointerdown", event => { held = { x: event.clientX - at.x, y: event.clientY - at.y, moved: false }; });
addEventListener("pointermove", event => {
  if (!held) return;
  const x = event.clientX - held.x, y = event.clientY - held.y;
  if (!held.moved && Math.hypot(x - at.x, y - at.y) < 4) return;
  held.moved = true;
  view.classList.add("held");
  move(x, y, at.k);
});
addEventListener("pointerup", () => { view.classList.remove("held"); setTimeout(() => { held = null; }); });
view.addEventListener("click", event => {
  const hit = part(event);
  if (hit && hit.hasAttribute("aria-expanded") && !(held && held.moved)) toggle(number(hit), hit.matches(".box"));
});
view.addEventListener("wheel", event => {
  event.preventDefault();
  const box = view.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });
const tell = event => { about.textContent = part(event)?.querySelector("title")?.textContent ?? hint; };
view.addEventListener("pointerover", tell);
view.addEventListener("focusin", event => {
  tell(event);
  const hit = part(event), spot = hit && spots.get(number(hit));
  if (!spot || !hit.matches(":focus-visible")) return;
  const x = spot[0] * at.k + at.x, y = spot[1] * at.k + at.y;
  const seen = x >= 0 && y >= 0 && x + Math.min(spot[2] * at.k, 200) <= view.clientWidth && y + 40 <= view.clientHeight;
  if (!seen) move(view.clientWidth / 2 - (spot[0] + spot[2] / 2) * at.k, view.clientHeight / 3 - spot[1] * at.k, at.k);
  view.scrollTo?.(0, 0);
});
addEventListener("keydown", event => {
  if (event.target === search) {
    if (event.key === "Enter" && found.length) reveal(number(found[turn++ % found.length]));
    if (event.key === "Escape") { search.value = ""; search.dispatchEvent(new Event("input")); search.blur(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  const hit = event.target.closest?.(".box, .frame");
  if (hit?.hasAttribute("aria-expanded") && (event.key === "Enter" || event.key === " ")) toggle(number(hit), hit.matches(".box"));
  else if (event.key === "/") search.focus();
  else if (event.key === "+" || event.key === "=") zoom(1.25);
  else if (event.key === "-") zoom(0.8);
  else if (event.key === "0") fit();
  else if (steps[event.key]) move(at.x + steps[event.key][0], at.y + steps[event.key][1], at.k);
  else return;
  event.preventDefault();
});
search.addEventListener("input", () => {
  const words = search.value.trim().toLowerCase();
  turn = 0;
  found = words ? [...document.querySelectorAll("#boxes .box")].filter(each => each.textContent.toLowerCase().includes(words)) : [];
  for (const each of world.querySelectorAll(".found")) each.classList.remove("found");
  for (const each of found) each.classList.add("found");
  about.textContent = words ? `${found.length} found; Enter goes to the next` : hint;
});
const press = (id, act) => document.getElementById(id)?.addEventListener("click", act);
press("fit", fit);
press("in", () => zoom(1.25));
press("out", () => zoom(0.8));
press("all", () => { for (const [each] of parents) if (document.getElementById("f" + each)) open.add(each); draw(); start(); });
press("none", () => { open.clear(); draw(); start(); });
addEventListener("resize", () => placed?.());
draw();
start();
