// The user's servers: what they take, starting, stopping, making another. What a server is called and which buttons it
// has comes from the hub: when something changes, its list is fetched again and put in place.

import { every, get, send, serverPath } from "./api.js";
import { ages } from "./page.js";
import { able, makeReady, startAndOpen } from "./ready.js";
import { tile } from "./tiles.js";
import { bytes, complain, count, cpus, element, say } from "./words.js";

const page = document.getElementById("home");
const user = page.dataset.user;
const list = () => document.getElementById("servers");
const rows = () => [...list().querySelectorAll("[data-server]")];
const SPANS = [
  [0.25, "the last quarter of an hour"],
  [1, "the last hour"],
  [6, "the last 6 hours"],
];
const tiles = new Map();
let machine = null;
let seen = "";
let plotted = 0;

function write(root) {
  for (const one of root.querySelectorAll("[data-cpus]")) say(one, `${cpus(Number(one.dataset.cpus))} CPU`);
  for (const one of root.querySelectorAll("[data-bytes]")) say(one, bytes(Number(one.dataset.bytes)));
  for (const one of root.querySelectorAll("[data-reserve-cpu]")) {
    const [cpu, memory] = [Number(one.dataset.reserveCpu), Number(one.dataset.reserveMemory)];
    const kept = [cpu ? `${cpus(cpu)} CPU` : "", memory ? bytes(memory) : ""].filter(Boolean);
    say(one, `${kept.join(" and ")} reserved`);
  }
  ages(root);
  makeReady([...list().querySelectorAll("a[data-ahead]")].map((one) => one.dataset.ahead));
}

/** Take the list as the hub writes it now; what was typed and the focus stay. */
async function refresh() {
  const answer = await fetch(window.location.href, { cache: "no-store", redirect: "follow" });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = found.getElementById("servers");
  if (!fresh) {
    window.location.reload();
    return;
  }
  const focus = document.activeElement?.closest("[data-server]")?.dataset.server;
  list().replaceWith(fresh);
  const [before, after] = [document.getElementById("another"), found.getElementById("another")];
  if (before && after && Boolean(before.querySelector("form")) !== Boolean(after.querySelector("form"))) {
    before.replaceWith(after);
  }
  write(fresh);
  plotted = 0;
  tiles.clear();
  if (focus !== undefined) {
    rows().find((row) => row.dataset.server === focus)?.querySelector("a.btn")?.focus();
  }
  live();
}

/** What the hub says of every server, short: a change means that the list is stale. */
async function watch() {
  const model = await get(`users/${encodeURIComponent(user)}?include_stopped_servers=1`);
  const states = Object.values(model.servers || {}).map((s) => [s.name, s.ready, s.pending, s.stopped]);
  const now = JSON.stringify(states);
  if (seen && now !== seen) await refresh();
  seen = now;
  const waiting = states.some(([, , pending]) => pending) || list().querySelector('[data-state="pending"]');
  clearTimeout(watch.soon);
  if (waiting) watch.soon = setTimeout(look, 1000);
}

function showMachine(usage) {
  const place = document.getElementById("machine");
  if (!machine) {
    const note = element("p", { class: "hw-quiet", id: "machine-note", "aria-live": "polite" });
    const files = element("p", { class: "hw-quiet" });
    machine = { cpu: tile("cpu", "CPU", cpus), memory: tile("memory", "Memory", bytes), note, files };
    place.replaceChildren(machine.cpu.node, machine.memory.node, files, note);
  }
  const now = usage.machine;
  machine.cpu.show(now.cpu, now.cpus);
  machine.memory.show(now.memory, now.memory_total);
  const home = (usage.homes || []).find((one) => one.user === user);
  const room = home?.limit ? ` of ${bytes(home.limit)}` : "";
  say(machine.files, home ? `Your files: ${home.whole === false ? "more than " : ""}${bytes(home.bytes)}${room}` : "");
  const others = now.servers ? `${count(now.servers, "server runs", "servers run")} here in all.` : "No server runs here now.";
  say(machine.note, usage.warning || others);
}

function showServers(usage) {
  for (const row of rows()) {
    const place = row.querySelector(".hw-tiles");
    const one = usage.servers.find((s) => s.user === user && s.server === row.dataset.server);
    place.hidden = !one || row.dataset.state !== "running";
    if (place.hidden) continue;
    let shown = tiles.get(row.dataset.server);
    if (!shown) {
      shown = { cpu: tile("cpu", "CPU", cpus), memory: tile("memory", "Memory", bytes) };
      tiles.set(row.dataset.server, shown);
      place.replaceChildren(shown.cpu.node, shown.memory.node);
    }
    shown.cpu.show(one.cpu ?? NaN, one.cpu_limit || 0, one.cpu_reserve || 0);
    shown.memory.show(one.memory, one.memory_limit || 0, one.memory_reserve || 0);
    shown.limits = [one.cpu_limit, one.memory_limit];
  }
}

/** How far back to look: as far as the oldest server is old, so that there is something to see. */
function span() {
  const started = [...list().querySelectorAll(".hw-facts time[data-age='']")].map((one) => Date.parse(one.dateTime));
  const age = started.length ? (Date.now() - Math.min(...started)) / 3600_000 : Infinity;
  return SPANS.find(([hours]) => hours >= age) || SPANS[SPANS.length - 1];
}

function showHistory(history, words) {
  machine.cpu.plot(history.machine.cpu, 0, words);
  machine.memory.plot(history.machine.memory, 0, words);
  for (const [server, shown] of tiles) {
    const line = (history.servers || []).find((s) => s.user === user && s.server === server);
    if (!line) continue;
    shown.cpu.plot(line.cpu, shown.limits[0], words);
    shown.memory.plot(line.memory, shown.limits[1], words);
  }
}

async function measure() {
  const [hours, words] = span();
  const history = Date.now() - plotted > (hours < 1 ? 15_000 : 60_000);
  try {
    const usage = await get(`hubwright/usage${history ? `?hours=${hours}&points=90` : ""}`);
    showMachine(usage);
    showServers(usage);
    if (usage.history) {
      showHistory(usage.history, words);
      plotted = Date.now();
    }
  } catch (error) {
    machine = null;
    tiles.clear();
    for (const place of document.querySelectorAll(".hw-tiles")) place.hidden = true;
    const note = element("p", { class: "hw-quiet", id: "machine-note", "aria-live": "polite" });
    document.getElementById("machine").replaceChildren(note);
    say(note, "What is in use cannot be shown at the moment. Servers work all the same.");
    throw error;
  }
}

async function start(row, link) {
  const state = row.querySelector(".hw-state");
  row.dataset.state = state.dataset.state = "pending";
  say(state, "Starting");
  say(document.getElementById("told"), `Starting ${row.querySelector("strong").textContent}`);
  try {
    await startAndOpen(user, row.dataset.server, link.dataset);
  } catch (error) {
    await refresh();
    throw error;
  }
}

async function stop(row) {
  const state = row.querySelector(".hw-state");
  row.dataset.state = state.dataset.state = "pending";
  say(state, "Stopping");
  say(document.getElementById("told"), `Stopping ${row.querySelector("strong").textContent}`);
  row.querySelector(".hw-tiles").hidden = true;
  await send("DELETE", serverPath(user, row.dataset.server));
  seen = "stopping";
  look();
}

async function remove(row) {
  const name = row.querySelector("strong").textContent;
  if (!window.confirm(`Delete the server “${name}”? Your files stay.`)) return;
  await send("DELETE", serverPath(user, row.dataset.server), { remove: true });
  await refresh();
  say(document.getElementById("told"), `${name} was deleted`);
  document.getElementById("new-server-name")?.focus();
}

async function add(field) {
  const utils = await new Promise((done) => window.require(["utils"], done));
  const name = utils.sanitise_display_name(field.value);
  if (!name) throw new Error("A name needs a letter or a digit.");
  await send("PUT", serverPath(user, utils.safe_slug(name)), { display_name: name });
  field.value = "";
  await refresh();
  const made = rows().find((row) => row.dataset.server === utils.safe_slug(name));
  say(document.getElementById("told"), `${name} was added`);
  made?.querySelector("a.btn")?.focus();
}

/** Do what a button asks for; it cannot be pressed twice, and what went wrong is said on the page. */
async function act(buttons, work) {
  complain("");
  for (const button of buttons) button.disabled = true;
  try {
    await work();
  } catch (error) {
    complain(error.message);
    for (const button of buttons) button.disabled = false;
    if (error.status === 404) await refresh();
  }
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  const row = button.closest("[data-server]");
  const work = { stop, delete: remove }[button.dataset.do];
  act([...row.querySelectorAll("button")], async () => {
    await work(row);
    for (const one of row.querySelectorAll("button")) one.disabled = false;
  });
});
page.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-ahead]");
  const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !plain || !able) return;
  event.preventDefault();
  const row = link.closest("[data-server]");
  if (row.dataset.state !== "pending") act([...row.querySelectorAll("button")], () => start(row, link));
});
page.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  act([button], async () => {
    await add(event.target.querySelector("input"));
    button.disabled = false;
  });
});

write(document);
const measured = Boolean(document.getElementById("machine"));
const live = measured ? every(5, measure) : () => {};
const look = every(15, watch);
window._jupyterhub_page_loaded = true;
