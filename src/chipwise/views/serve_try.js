// The form: a picture file is sent to a model, and what it says is shown beside and over the picture.
const shown = document.getElementById("shown"), mask = document.getElementById("mask");
const boxes = document.getElementById("boxes"), found = document.getElementById("found");
const HUES = [18, 210, 145, 285, 48, 330, 180, 100, 250, 0];
const hue = index => HUES[index % HUES.length];

function line(name, value, share, about = "", colour = "") {
  const row = document.createElement("li"), score = document.createElement("em");
  row.append(Object.assign(document.createElement("span"), { textContent: name }), score);
  score.textContent = value;
  const track = Object.assign(document.createElement("div"), { className: "track" });
  const fill = Object.assign(document.createElement("div"), { className: "fill" });
  fill.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  if (colour) fill.style.background = colour;
  track.append(fill);
  row.append(track);
  if (about) row.append(Object.assign(document.createElement("small"), { textContent: about }));
  found.append(row);
}

const percent = share => `${(100 * share).toFixed(1)}%`;
const showLabels = labels => labels.forEach(({ label, score }) => line(label, percent(score), score));

function showBoxes(list) {
  if (!list.length) found.append(Object.assign(document.createElement("li"), { textContent: "nothing found" }));
  const names = [...new Set(list.map(box => box.label))], [width, height] = [shown.naturalWidth, shown.naturalHeight];
  for (const box of list) {
    const colour = `hsl(${hue(names.indexOf(box.label))} 75% 38%)`;
    const edges = [box.left, box.top, box.right, box.bottom].map(edge => Math.round(edge));
    line(box.label, percent(box.score), box.score, `x ${edges[0]}–${edges[2]}, y ${edges[1]}–${edges[3]}`, colour);
    if (!width) continue;
    const drawn = document.createElement("div"), name = document.createElement("span");
    name.textContent = `${box.label} ${percent(box.score)}`;
    name.className = box.top < height / 8 ? "inside" : "";
    [drawn.style.borderColor, name.style.background] = [colour, colour];
    drawn.style.left = `${100 * box.left / width}%`;
    drawn.style.top = `${100 * box.top / height}%`;
    drawn.style.width = `${100 * (box.right - box.left) / width}%`;
    drawn.style.height = `${100 * (box.bottom - box.top) / height}%`;
    drawn.append(name);
    boxes.append(drawn);
  }
}

// A grey PNG whose values are classes, in colours; the list says how much of the picture each takes.
async function showMask(file, labels) {
  const picture = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  [mask.width, mask.height] = [picture.width, picture.height];
  const pen = mask.getContext("2d", { willReadFrequently: true });
  pen.drawImage(picture, 0, 0);
  const pixels = pen.getImageData(0, 0, mask.width, mask.height), counts = new Map();
  for (let at = 0; at < pixels.data.length; at += 4) {
    const index = pixels.data[at];
    counts.set(index, (counts.get(index) ?? 0) + 1);
    pixels.data.set(rgb(hue(index)), at);
  }
  pen.putImageData(pixels, 0, 0);
  for (const [index, count] of [...counts].sort(([, a], [, b]) => b - a)) {
    const share = count / (mask.width * mask.height);
    line(labels[index] ?? `class ${index}`, percent(share), share, "", `rgb(${rgb(hue(index)).join(" ")})`);
  }
}

// hsl(degrees 75% 50%) as numbers.
const rgb = degrees => [0, 8, 4].map(offset => {
  const turn = (offset + degrees / 30) % 12;
  return Math.round(255 * (0.5 - 0.375 * Math.max(-1, Math.min(turn - 3, 9 - turn, 1))));
});

// Wait until the picture is there; what the browser cannot show has no size.
async function showPicture(file) {
  URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(file);
  await shown.decode().catch(() => undefined);
  const known = shown.naturalWidth > 0;
  document.getElementById("picture").hidden = !known;
  shown.classList.toggle("tiny", known && shown.naturalWidth < 160);
}

function clearAnswer() {
  document.getElementById("answer").hidden = true;
  found.replaceChildren();
  boxes.replaceChildren();
  [mask.width, mask.height] = [0, 0];
}

async function showAnswer(route, response, labels) {
  if (route === "segment") return showMask(await response.blob(), labels);
  const said = await response.json();
  return route === "detect" ? showBoxes(said.boxes) : showLabels(said.labels);
}
