// A slider and a number that are one value: both end at what may be had, and the number may be as exact as one likes.

import { say } from "./words.js";

/**
 * Bind `${id}-slider`, `${id}-number` and the hidden field `${id}-value`. `toField` writes the value for the form,
 * `words(most)` says where it ends. Returns {get, set, limit, send, onchange}.
 */
export function amount(id, { least, toField, words }) {
  const slider = document.getElementById(`${id}-slider`);
  const number = document.getElementById(`${id}-number`);
  const field = document.getElementById(`${id}-value`);
  const made = { onchange: () => {} };
  let value = least;
  let most = least;

  function write(from) {
    if (from !== slider) slider.value = value;
    if (from !== number) number.value = Math.round(value * 1000) / 1000;
    slider.setAttribute("aria-valuetext", words(value));
    field.value = toField(value);
  }

  function take(wanted, from) {
    const fit = Math.min(most, Math.max(least, wanted));
    if (!Number.isFinite(fit)) return;
    value = fit;
    write(from);
    made.onchange();
  }

  slider.addEventListener("input", () => take(slider.valueAsNumber, slider));
  number.addEventListener("input", () => {
    const typed = number.valueAsNumber;
    if (typed >= least && typed <= most) take(typed, number);
  });
  number.addEventListener("change", () => take(number.valueAsNumber));

  made.get = () => value;
  made.set = (wanted) => {
    value = Math.min(most, Math.max(least, wanted));
    write();
  };
  made.limit = (largest) => {
    if (largest === most) return;
    most = Math.max(least, largest);
    const step = most <= 2 ? 0.1 : most <= 8 ? 0.25 : most <= 32 ? 0.5 : 1;
    // the last step must be the end itself, whatever it is
    const first = least + ((most - least) % step);
    Object.assign(slider, { min: first, max: most, step });
    Object.assign(number, { min: least, max: Math.round(most * 1000) / 1000 });
    say(document.getElementById(`${id}-most`), `up to ${words(most)}`);
    made.set(value);
  };
  made.send = (wanted) => {
    field.disabled = !wanted;
  };
  return made;
}
