// A teacher's view of his class. Rows are kept from one answer to the next, so that the focus stays.

import { every, get, send } from "./api.js";
import { moment } from "./times.js";
import { bytes, complain, count, cpus, duration, element, say } from "./words.js";

const page = document.getElementById("class");
const path = `hubwright/classes/${encodeURIComponent(page.dataset.name)}`;
const body = document.querySelector("#people tbody");
const rows = new Map();
const NONE = "–";
const STATES = { running: "Running", starting: "Starting", stopping: "Stopping" };
// Which rows to show, by the values of the choice above the table.
const CHOICES = {
  all: () => true,
  here: (one) => one.here,
  away: (one) => !one.here,
  stopped: (one, found) => found.state !== "running",
  busy: (one, found) => Boolean(found.kernels?.some((kernel) => kernel.state === "busy")),
};
let told = null;
let lost = false;

function cell(row, kind, ...content) {
  let found = row.querySelector(`[data-cell="${kind}"]`);
  if (!found) {
    const head = kind === "name"; // roles are said, since in a narrow window rows are no table's rows to the browser
    const said = head ? { scope: "row", role: "rowheader" } : { role: "cell" };
    found = element(head ? "th" : "td", { "data-cell": kind, ...said });
    row.append(found);
  }
  if (content.length && found.dataset.now !== String(content)) {
    found.dataset.now = String(content);
    found.replaceChildren(...content);
    found.toggleAttribute("data-none", String(content) === NONE);
  }
  return found;
}

function line(one, server) {
  const state = server ? server.state : one.starting ? "starting" : "stopped";
  return {
    server: server ? server.server : "",
    name: server?.server ? `${one.name}: ${server.title}` : one.name,
    state,
    words: STATES[state] || (one.known ? "Not running" : "Has never been here"),
    mark: state === "running" ? "running" : state === "stopped" ? (one.failure ? "failed" : "stopped") : "pending",
    since: state === "running" ? server.since : null,
    chosen: server ? [server.size, server.image].filter(Boolean).join(", ") : "",
    kernels: state === "running" ? server.kernels : null,
    usage: told.usage.find((used) => used.user === one.name && used.server === (server?.server || "")),
  };
}

function show(one, found) {
  const key = `${one.name}/${found.server}`;
  let row = rows.get(key);
  if (!row) {
    row = element("tr", { role: "row", "data-user": one.name, "data-server": found.server });
    rows.set(key, row);
  }
  cell(row, "name", found.name);
  const place = cell(row, "state");
  if (!place.firstChild) {
    place.append(element("span", { class: "hw-state" }), element("p", { class: "hw-quiet" }), element("p", { class: "hw-why mt-1" }));
  }
  const [state, chosen, why] = place.children;
  state.dataset.state = found.mark;
  say(state, found.since ? `${found.words} for ${duration(told.now - found.since)}` : found.words);
  chosen.hidden = !found.chosen;
  say(chosen, found.chosen);
  why.hidden = found.mark !== "failed";
  say(why, one.failure);
  showKernels(cell(row, "kernels"), found.kernels);
  cell(row, "seen", one.here ? "here" : one.seen ? `${duration(told.now - one.seen)} ago` : NONE);
  cell(row, "cpu", cpus(found.usage?.cpu ?? NaN));
  const { memory, memory_limit: most } = found.usage || {};
  cell(row, "memory", memory === undefined ? NONE : most ? `${bytes(memory)} of ${bytes(most)}` : bytes(memory));
  const act = cell(row, "do");
  const stops = found.state === "running";
  const pending = found.mark === "pending";
  if (!act.firstChild) act.append(element("button", { type: "button", class: "btn btn-sm" }));
  const button = act.firstChild;
  button.disabled = pending;
  button.className = `btn btn-sm ${stops ? "btn-outline-danger" : "btn-outline-contrast"}`;
  button.setAttribute("aria-label", `${stops ? "Stop" : "Start"} the server of ${found.name}`);
  say(button, stops ? "Stop" : "Start");
  button.dataset.do = stops ? "stop" : "start";
  return row;
}

// Equal ones are one line: "Python 3 (2): busy".
function showKernels(place, kernels) {
  const lines = new Map();
  for (const { name, state } of kernels || []) {
    const key = JSON.stringify([name, state]);
    lines.set(key, (lines.get(key) || 0) + 1);
  }
  const now = kernels ? JSON.stringify([...lines]) : NONE;
  if (place.dataset.now === now) return;
  place.dataset.now = now;
  place.toggleAttribute("data-none", !kernels);
  if (!lines.size) {
    place.replaceChildren(kernels ? "none" : NONE);
    return;
  }
  const shown = [...lines].map(([key, times]) => {
    const [name, state] = JSON.parse(key);
    const words = times > 1 ? `${name} (${times})` : name;
    return element("li", { "data-state": state || null }, state ? `${words}: ${state}` : words);
  });
  const more = shown.splice(shown.length > 4 ? 3 : 4).length;
  if (more) shown.push(element("li", {}, `and ${more} more`));
  place.replaceChildren(element("ul", { class: "hw-kernels" }, ...shown));
}

function showPeople() {
  const fits = CHOICES[document.getElementById("which").value];
  const part = document.getElementById("filter").value.trim().toLowerCase();
  const wanted = told.people.flatMap((one) => {
    const lines = one.servers.length ? one.servers.map((server) => line(one, server)) : [line(one, null)];
    return lines.map((found) => {
      const row = show(one, found);
      row.hidden = !fits(one, found) || !found.name.toLowerCase().includes(part);
      return row;
    });
  });
  wanted.forEach((row, i) => {
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] || null);
  });
  for (const [key, row] of rows) {
    if (wanted.includes(row)) continue;
    row.remove();
    rows.delete(key);
  }
  const here = told.people.filter((one) => one.here).length;
  const run = told.people.filter((one) => one.servers.some((server) => server.state === "running")).length;
  say(document.getElementById("short"), `${here} of ${told.people.length} here, ${count(run, "has a server", "have servers")}`);
  const empty = document.getElementById("empty");
  empty.hidden = wanted.some((row) => !row.hidden);
  const nobody = "Nobody is in this class: hub.yaml names its groups and users.";
  say(empty, told.people.length ? "None of them now." : nobody);
  const starting = told.people.some((one) => one.starting);
  document.getElementById("start-all").disabled = starting || run === told.people.length;
  document.getElementById("stop-all").disabled = run === 0;
}

function showWhen() {
  const parts = [];
  if (told.on) {
    const begun = told.on.begin <= told.now;
    parts.push(begun ? `Now, until ${moment(told.on.end)}.` : `Servers start for ${moment(told.on.begin)}.`);
  }
  if (told.next && told.next.begin !== told.on?.begin) parts.push(`Next: ${moment(told.next.begin)}.`);
  say(document.getElementById("when"), parts.join(" ") || "No lesson is in its timetable.");
}

function showSaid() {
  const list = document.getElementById("said");
  list.hidden = told.messages.length === 0;
  const known = [...list.children].map((one) => one.dataset.message).join();
  if (known === told.messages.map((one) => one.id).join()) return;
  list.replaceChildren(
    ...told.messages.map((one) =>
      element(
        "li",
        { "data-message": one.id },
        element("span", {}, one.text, element("span", { class: "hw-quiet" }, ` (${one.by}, until ${moment(one.until)})`)),
        element("button", { type: "button", class: "btn btn-sm btn-outline-danger", "data-do": "unsay", "aria-label": `Take back: ${one.text}` }, "Take back"),
      ),
    ),
  );
}

async function watch() {
  try {
    told = await get(path);
  } catch (error) {
    complain(error.message);
    lost = true;
    throw error;
  }
  if (lost) complain("");
  lost = false;
  showWhen();
  showPeople();
  showSaid();
  clearTimeout(watch.soon);
  if (body.querySelector('[data-state="pending"]')) watch.soon = setTimeout(look, 1500);
}

async function act(button, work, words) {
  complain("");
  button.disabled = true;
  try {
    await work();
    say(document.getElementById("told"), words);
  } catch (error) {
    complain(error.message);
  } finally {
    button.disabled = false;
    look();
  }
}

const WORK = {
  start: (row) => send("POST", `${path}/start`, { users: [row.dataset.user] }),
  stop: (row) => send("POST", `${path}/stop`, { users: [row.dataset.user], server: row.dataset.server }),
  unsay: (row) => send("DELETE", `${path}/messages/${row.dataset.message}`),
};

page.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-do]");
  if (button) act(button, () => WORK[button.dataset.do](button.closest("tr, li")), button.getAttribute("aria-label"));
});
document.getElementById("start-all").addEventListener("click", (event) => {
  act(event.target, () => send("POST", `${path}/start`, {}), "Servers start");
});
document.getElementById("stop-all").addEventListener("click", (event) => {
  if (!window.confirm("Stop everybody's server? What is not saved there is lost.")) return;
  act(event.target, () => send("POST", `${path}/stop`, {}), "Servers stop");
});
document.getElementById("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  act(
    form.querySelector("button"),
    async () => {
      await send("POST", `${path}/messages`, { text: form.elements.text.value, minutes: Number(form.elements.minutes.value) });
      form.elements.text.value = "";
    },
    "The message is sent",
  );
});

document.getElementById("filter").addEventListener("input", () => told && showPeople());
document.getElementById("which").addEventListener("change", () => told && showPeople());

const look = every(5, watch);
window._jupyterhub_page_loaded = true;
