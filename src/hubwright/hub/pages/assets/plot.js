// Small plots as inline SVG: no library, no colours of their own (the style sheet has them, also for dark mode).

const NS = "http://www.w3.org/2000/svg";

function svg(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** A line with the area below it, as wide as its place. `values` may hold null: a gap. `label` is read aloud. */
export function spark(values, { kind, max = 0, label }) {
  const width = 240;
  const height = 48;
  const top = ceiling(values, max);
  const root = svg("svg", {
    class: `hw-spark hw-${kind}`,
    viewBox: `0 0 ${width} ${height}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  });
  root.append(svg("path", { class: "hw-axis", d: `M0 ${height - 0.5}H${width}` }));
  draw(root, values, (i) => (values.length > 1 ? (i * width) / (values.length - 1) : width), (v) => at(v, top, height));
  return root;
}

/**
 * A plot with axes. `lines`: [{name, kind, values}] of the same length; `from` and `step` in Unix seconds;
 * `format` writes a value, `max` is the top when given, `width` in pixels keeps the words readable on a phone.
 */
export function chart(lines, { from, step, format, max = 0, label, width = 640 }) {
  const height = 190;
  const left = 62;
  const below = 24;
  const top = 8;
  const all = lines.flatMap((line) => line.values);
  const largest = round(ceiling(all, max));
  const points = Math.max(2, lines[0]?.values.length ?? 0);
  const x = (i) => left + (i * (width - left - 8)) / (points - 1);
  const y = (v) => top + at(v, largest, height - below - top);
  const root = svg("svg", { class: "hw-chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const part of [0, 0.5, 1]) {
    const line = y(largest * part);
    root.append(svg("path", { class: "hw-axis", d: `M${left} ${line}H${width - 8}` }));
    root.append(svg("text", { x: left - 8, y: line + 4, "text-anchor": "end" }, part ? format(largest * part) : "0"));
  }
  const span = points * step;
  for (const part of width < 420 ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1]) {
    const anchor = part === 0 ? "start" : part === 1 ? "end" : "middle";
    const i = part * (points - 1);
    root.append(svg("text", { x: x(i), y: height - 6, "text-anchor": anchor }, clock(from + i * step, span)));
  }
  for (const line of lines) {
    const group = svg("g", { class: `hw-${line.kind}` });
    group.append(svg("title", {}, line.name));
    draw(group, line.values, x, y, height - below);
    root.append(group);
  }
  return root;
}

function draw(root, values, x, y, floor = 48) {
  for (const run of runs(values)) {
    const line = run.map(([i, v], n) => `${n ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
    const [first, last] = [run[0][0], run[run.length - 1][0]];
    if (run.length > 1) {
      root.append(svg("path", { class: "hw-area", d: `${line}L${x(last).toFixed(1)} ${floor}L${x(first).toFixed(1)} ${floor}Z` }));
    }
    root.append(svg("path", { class: "hw-line", d: run.length > 1 ? line : `${line}h4` }));
  }
}

function runs(values) {
  const found = [];
  let run = [];
  values.forEach((value, i) => {
    if (Number.isFinite(value)) run.push([i, value]);
    else if (run.length) {
      found.push(run);
      run = [];
    }
  });
  if (run.length) found.push(run);
  return found;
}

function ceiling(values, max) {
  const largest = values.reduce((a, v) => (Number.isFinite(v) && v > a ? v : a), 0);
  return max > 0 ? Math.max(max, largest) : largest * 1.15 || 1;
}

function round(value) {
  const power = 2 ** Math.floor(Math.log2(value));
  for (const factor of [1, 1.25, 1.5, 2]) if (power * factor >= value) return power * factor;
  return value;
}

function at(value, top, height) {
  return height - 2 - (Math.min(value, top) / top) * (height - 4);
}

function clock(seconds, span) {
  const options = span > 2 * 86400 ? { month: "short", day: "numeric" } : { hour: "2-digit", minute: "2-digit" };
  return new Date(seconds * 1000).toLocaleString(undefined, options);
}
