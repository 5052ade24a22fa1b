// What a start opens, made ready by the browser while somebody looks at the page that can ask for it (hub/ahead.py).

import { send, serverPath } from "./api.js";
import { element } from "./words.js";

/** Whether this browser makes pages ready; where not, links and forms do what they do without scripts. */
export const able = Boolean(HTMLScriptElement.supports?.("speculationrules"));

/** Have these made ready: the first at once, the others when the pointer is on their links. */
export function makeReady(urls) {
  const text = JSON.stringify({
    prerender: [
      { urls: urls.slice(0, 1), eagerness: "immediate" },
      { urls: urls.slice(1), eagerness: "moderate" },
    ],
  });
  const before = document.querySelector("script[type=speculationrules]");
  if (!able || before?.textContent === text) return;
  before?.remove();
  if (urls.length) document.head.append(element("script", { type: "speculationrules" }, text));
}

/** Start a server with these options, and open what is ready; when it takes longer, the page that tells how far it is. */
export async function startAndOpen(user, server, { ahead, progress }, options) {
  const runs = (await send("POST", serverPath(user, server), options)) === 201;
  window.location.assign(runs ? ahead : progress);
}
