// Prometheus's text, what changed between two readings of it, and what that means.
const SERIES = /^([a-z_]+)(?:[{](.*)[}])? (\S+)$/, LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const GAUGES = ["chipwise_queue_length", "chipwise_calls_running"];
const BUCKET = "chipwise_latency_seconds_bucket", PARTS = ["total", "queue", "copy", "compute"];
const ANSWERED = "chipwise_requests_total", CALLS = "chipwise_calls_total";
const REJECTED = ["chipwise_requests_failed_total", "chipwise_requests_refused_total"];

// All series by name and labels as they are written.
function readings(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = SERIES.exec(line);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]));
    found.set(line.slice(0, line.lastIndexOf(" ")), { name: match[1], labels, value: Number(match[3]) });
  }
  return found;
}

// What was counted since. A new version of a model counts anew, so what is smaller than before began at 0.
function changes(before, now) {
  const rows = [];
  for (const [key, row] of now) {
    if (GAUGES.includes(row.name)) continue;
    const old = before.get(key)?.value ?? 0;
    const by = row.value >= old ? row.value - old : row.value;
    if (by) rows.push({ name: row.name, labels: row.labels, by });
  }
  return rows;
}

const bound = text => text === "+Inf" ? Infinity : Number(text);
const bounds = now => {
  const edges = [...now.values()].filter(row => row.name === BUCKET).map(row => bound(row.labels.le));
  return [...new Set(edges)].sort((a, b) => a - b);
};
const ofModel = (row, model) => !model || row.labels.model === model;
const total = (rows, names, model) =>
  rows.reduce((sum, row) => names.includes(row.name) && ofModel(row, model) ? sum + row.by : sum, 0);

// Counts by one label, as [label, count].
function counted(rows, names, label, model) {
  const found = new Map();
  for (const row of rows) {
    if (!names.includes(row.name) || !ofModel(row, model)) continue;
    found.set(row.labels[label], (found.get(row.labels[label]) ?? 0) + row.by);
  }
  return [...found].sort(([a], [b]) => Number(a) - Number(b));
}

// A quantile of one part of the latency in seconds, on a straight line within its bucket; null where there was nothing.
function quantile(rows, edges, part, share, model) {
  const counts = edges.map(() => 0);
  for (const row of rows) {
    if (row.name === BUCKET && row.labels.part === part && ofModel(row, model)) {
      counts[edges.indexOf(bound(row.labels.le))] += row.by;
    }
  }
  const all = counts[counts.length - 1];
  if (!all) return null;
  const place = counts.findIndex(count => count >= share * all);
  const [low, below] = place ? [edges[place - 1], counts[place - 1]] : [0, 0];
  if (!Number.isFinite(edges[place])) return low;
  return low + (edges[place] - low) * (share * all - below) / (counts[place] - below);
}
