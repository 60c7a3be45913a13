"use strict";
// Numbers as people read them.

// Three digits that count, as everywhere in chipwise.
const digits = value => {
  if (value === 0) return "0";
  return value >= 999.5 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
};
const asCount = value => value === null ? "–" : digits(value);
const asRate = value => value === null ? "–" : `${digits(value)}/s`;
const asTime = seconds => {
  if (seconds === null) return "–";
  const [scale, unit] = seconds >= 1 ? [1, "s"] : seconds >= 1e-3 ? [1e-3, "ms"] : [1e-6, "µs"];
  return `${digits(seconds / scale)} ${seconds ? unit : "s"}`;
};
