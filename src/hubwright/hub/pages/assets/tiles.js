// A measured quantity: its name, the value now, a bar up to its limit, and a plot of the last hours.

import { element, say } from "./words.js";
import { spark } from "./plot.js";

/**
 * Make a tile. `kind` is cpu or memory and gives the colour; `format` writes a value.
 * `show(value, limit, reserve)` and `plot(values, limit, words)` change it.
 */
export function tile(kind, name, format) {
  const now = element("span", { class: "hw-now" }, "–");
  const fill = element("span", { class: "hw-fill" });
  const kept = element("span", { class: "hw-kept", hidden: true });
  const bar = element("span", { class: "hw-bar", "aria-hidden": "true" }, kept, fill);
  const place = element("div", { class: "hw-plot" });
  const node = element(
    "div",
    { class: `hw-tile hw-${kind}` },
    element("div", { class: "hw-tile-head" }, element("span", { class: "hw-tile-name" }, name), now),
    bar,
    place,
  );
  return {
    node,
    show(value, limit, reserve = 0) {
      const words = Number.isFinite(value) ? format(value) : "measuring";
      say(now, limit ? `${words} of ${format(limit)}` : words);
      bar.hidden = !limit;
      if (!limit) return;
      const share = Math.min(1, (value || 0) / limit);
      fill.style.width = `${(share * 100).toFixed(1)}%`;
      node.toggleAttribute("data-full", share > 0.9);
      kept.hidden = !reserve;
      kept.style.width = `${Math.min(100, (reserve / limit) * 100).toFixed(1)}%`;
      kept.title = reserve ? `${format(reserve)} reserved` : "";
    },
    plot(values, limit, words) {
      const seen = values.filter(Number.isFinite);
      if (seen.length < 2) {
        place.replaceChildren();
        return;
      }
      const range = `between ${format(Math.min(...seen))} and ${format(Math.max(...seen))}`;
      place.replaceChildren(
        spark(values, { kind, max: limit || 0, label: `${name}, ${words}: ${range}` }),
        element("span", { class: "hw-quiet hw-span", "aria-hidden": "true" }, words),
      );
    },
  };
}
