// How far a start has come, as the hub tells it; then the server itself, or the page that says why there is none.

import { send, serverPath } from "./api.js";
import { duration, element, say } from "./words.js";

const page = document.getElementById("pending");
const { user, server, progress } = page.dataset;
const bar = document.getElementById("progress-bar");
const log = document.getElementById("progress-log");
const began = Date.now();
let last = "";
let toldAt = 0;

/** A step's text; "Pulling: 41 %" takes the place of "Pulling: 40 %". */
function step(text) {
  const kind = text.replace(/[0-9.,]+/g, "#");
  if (kind === last && log.lastElementChild) say(log.lastElementChild, text);
  else log.append(element("li", {}, text));
  last = kind;
  say(document.getElementById("progress-message"), text);
  if (Date.now() - toldAt > 4000) {
    toldAt = Date.now();
    say(document.getElementById("told"), text);
  }
}

function plain(html) {
  return new DOMParser().parseFromString(html, "text/html").body.textContent;
}

const events = new EventSource(progress);
events.onmessage = (message) => {
  const event = JSON.parse(message.data);
  if (event.ready) {
    events.close();
    const asked = new URLSearchParams(window.location.search).has("next");
    if (event.url && !asked) window.location.replace(event.url);
    else window.location.reload();
    return;
  }
  if (event.failed) {
    events.close();
    window.location.reload(); // the hub says there why, with the end of the log
    return;
  }
  if (Number.isFinite(event.progress)) {
    bar.style.width = `${event.progress}%`;
    document.getElementById("progress").setAttribute("aria-valuenow", event.progress);
  }
  const text = event.message || (event.html_message ? plain(event.html_message) : "");
  if (text) step(text);
};
events.onerror = () => {
  if (events.readyState === EventSource.CLOSED) setTimeout(() => window.location.reload(), 2000);
};

setInterval(() => {
  const seconds = (Date.now() - began) / 1000;
  if (seconds > 3) say(document.getElementById("elapsed"), `for ${duration(seconds)}`);
}, 1000);

document.getElementById("stop-server-btn").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const problem = document.getElementById("problem");
  button.disabled = true;
  problem.hidden = true;
  try {
    await send("DELETE", serverPath(user, server));
    step("Stopping it.");
    window.location.assign(`${window.jhdata.base_url}home`);
  } catch (error) {
    problem.hidden = false;
    say(problem, error.message);
    button.disabled = false;
  }
});
window._jupyterhub_page_loaded = true;
