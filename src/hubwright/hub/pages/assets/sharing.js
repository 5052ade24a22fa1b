// The home page's section about sharing. Its words come from the hub; after a change it is fetched again.

import { every, get, send } from "./api.js";
import { complain, say } from "./words.js";

const PROBLEM = "share-problem";
const section = () => document.getElementById("sharing");
const me = section().dataset.user;
const told = document.getElementById("told");
let seen = "";

async function refresh() {
  const answer = await fetch(window.location.href, { cache: "no-store" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("sharing");
  if (!fresh) return;
  const typed = document.getElementById("share-with")?.value;
  section().replaceWith(fresh);
  const field = document.getElementById("share-with");
  if (field && typed) field.value = typed;
}

/** What is shared, in both directions, and what runs of it: a change means that the section is stale. */
async function watch() {
  const name = encodeURIComponent(me);
  const [given, received, mine] = await Promise.all(
    [`shares/${name}`, `users/${name}/shared`, `users/${name}`].map((path) => get(path)),
  );
  const now = JSON.stringify([given, received, Object.keys(mine.servers || {})]);
  if (seen && now !== seen && !section().contains(document.activeElement)) await refresh();
  seen = now;
}

/** A path whose parts are names. */
const path = (...parts) => parts.map(encodeURIComponent).join("/");

const WORK = {
  async end({ server, to, kind }) {
    await send("PATCH", `shares/${path(me, server)}`, { [kind]: to });
    return `${to} is let in no more`;
  },
  async leave({ owner, server }) {
    await send("DELETE", `users/${path(me)}/shared/${path(owner, server)}`);
    return `You have left ${owner}'s server`;
  },
};

async function act(buttons, work) {
  complain("", PROBLEM);
  for (const one of buttons) one.disabled = true;
  try {
    const words = await work();
    await refresh();
    say(told, words);
    document.getElementById("share-with")?.focus();
  } catch (error) {
    complain(error.message, PROBLEM);
    for (const one of buttons) one.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-share]");
  if (button) act([button], () => WORK[button.dataset.share](button.closest("li").dataset));
});
document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    if (form.id !== "share-form") return;
    event.preventDefault();
    event.stopPropagation();
    act([form.querySelector("button")], async () => {
      const to = form.elements.to.value.trim();
      if (to === me) throw new Error("That is you.");
      await send("POST", `shares/${path(me, form.elements.server.value)}`, { user: to });
      form.elements.to.value = "";
      return `${to} may work in your server`;
    });
  },
  true,
);

every(10, watch);
