// The home page's section about servers of groups: the others start and stop them, too, so it is fetched again.

import { every, send, serverPath } from "./api.js";
import { complain, say } from "./words.js";

const PROBLEM = "together-problem";
const section = () => document.getElementById("together");

async function refresh() {
  const answer = await fetch(window.location.href, { cache: "no-store" });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = found.getElementById("together");
  if (!fresh) {
    if (found.getElementById("home")) section().hidden = true; // who looks is in no such group any more
    return;
  }
  const states = (root) => [...root.querySelectorAll("[data-account]")].map((one) => one.dataset.state).join();
  if (section().hidden || states(fresh) !== states(section())) section().replaceWith(fresh);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-stop]");
  if (!button) return;
  const row = button.closest("[data-account]");
  const name = row.querySelector("strong").textContent;
  if (!window.confirm(`Stop the server of “${name}” for everybody? Files stay; what runs in notebooks ends.`)) return;
  complain("", PROBLEM);
  button.disabled = true;
  try {
    await send("DELETE", serverPath(row.dataset.account, ""));
    await refresh();
    say(document.getElementById("told"), `The server of ${name} is being stopped`);
  } catch (error) {
    complain(error.message, PROBLEM);
    button.disabled = false;
  }
});

every(5, refresh);
