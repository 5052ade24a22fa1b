// Numbers and times as people read them, and elements made of text only: nothing here ever parses HTML.

const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** "1.5 GB" for 1610612736; units are powers of 1024, as in hub.yaml. */
export function bytes(value) {
  if (!Number.isFinite(value)) return "–";
  let unit = 0;
  let left = Math.max(0, value);
  while (left >= 1023.5 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  const digits = left >= 10 || unit < 3 ? 0 : Number.isInteger(left * 4) ? 2 : 1;
  return `${number(left, digits)} ${UNITS[unit]}`;
}

/** "0.5" or "12": as many digits as are worth reading. */
export function cpus(value) {
  if (!Number.isFinite(value)) return "–";
  if (value > 0 && value < 0.005) return "<0.01";
  return number(value, value < 1 ? 2 : value < 10 ? 1 : 0);
}

function number(value, digits) {
  const rounded = value.toFixed(digits);
  return digits ? rounded.replace(/\.?0+$/, "") : rounded;
}

/** "3 h 5 min" for a number of seconds. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return pair(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return pair(Math.floor(s / 86400), s < 172800 ? "day" : "days", Math.floor((s % 86400) / 3600), "h");
}

function pair(large, unit, small, below) {
  return small ? `${large} ${unit} ${small} ${below}` : `${large} ${unit}`;
}

/** "2 servers", "1 server". */
export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}

/** Make an element; `attributes` are set as attributes, strings among `children` become text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Set the text only when it differs: what a screen reader listens to is not said twice. */
export function say(target, text) {
  if (target && target.textContent !== text) target.textContent = text;
}

/** Show what went wrong in the element `id`, which is hidden as long as nothing did. */
export function complain(message, id = "problem") {
  const place = document.getElementById(id);
  place.hidden = !message;
  say(place, message || "");
}
