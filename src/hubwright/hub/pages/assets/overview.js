// Everybody's CPU and memory, now and over days. Rows are kept from one answer to the next, so that the focus stays.

import { every, get, send, serverPath } from "./api.js";
import { chart, spark } from "./plot.js";
import { tile } from "./tiles.js";
import { bytes, count, cpus, duration, element, say } from "./words.js";

const WORDS = { 1: "the last hour", 24: "the last day", 168: "the last week", 720: "the last month" };
const TOP = 5;
const table = document.getElementById("people");
const bodies = new Map();
const machine = {};
let hours = 24;
let sort = { key: "cpu", down: true };
let plotted = 0;
let usage = null;
let past = null;

for (const [kind, name, format] of [["cpu", "CPU", cpus], ["memory", "Memory", bytes]]) {
  const made = tile(kind, name, format);
  const place = element("div", { class: "hw-plot" });
  document.getElementById(`machine-${kind}`).append(made.node, place);
  machine[kind] = { ...made, place, format, name };
}

/** "0.5 CPU, 2 GB"; empty for nothing. */
function amounts(cpu, memory) {
  return [cpu ? `${cpus(cpu)} CPU` : "", memory ? bytes(memory) : ""].filter(Boolean).join(", ");
}

function cell(row, kind, text) {
  let found = row.querySelector(`[data-cell="${kind}"]`);
  if (!found) {
    found = element(kind === "user" ? "th" : "td", { "data-cell": kind, scope: kind === "user" ? "row" : null });
    row.append(found);
  }
  if (text !== undefined) say(found, text);
  return found;
}

const of = (value, limit, format) => {
  const words = Number.isFinite(value) ? format(value) : "–";
  return limit ? `${words} of ${format(limit)}` : words;
};

function showUser(user) {
  let body = bodies.get(user.user);
  if (!body) {
    body = element("tbody", {}, element("tr", { class: "hw-person" }));
    bodies.set(user.user, body);
  }
  const row = body.rows[0];
  body.about = user;
  cell(row, "user", user.user);
  cell(row, "do");
  cell(row, "cpu", user.servers ? cpus(user.cpu) : "–");
  cell(row, "memory", user.servers ? bytes(user.memory) : "–");
  cell(row, "reserve", amounts(user.cpu_reserve, user.memory_reserve) || "–");
  cell(row, "cpu_day", cpus(user.cpu_day));
  cell(row, "cpu_week", cpus(user.cpu_week));
  cell(row, "memory_week", bytes(user.memory_week));
  cell(row, "memory_peak_week", bytes(user.memory_peak_week));
  cell(row, "home", Number.isFinite(user.home) ? of(user.home, user.home_limit, bytes) : "–");
  cell(row, "plot");
  showServers(body, usage.servers.filter((one) => one.user === user.user));
}

function showServers(body, servers) {
  const known = new Map([...body.rows].slice(1).map((row) => [row.dataset.server, row]));
  for (const one of servers) {
    let row = known.get(one.server);
    known.delete(one.server);
    if (!row) {
      row = element("tr", { class: "hw-of-person", "data-server": one.server });
      body.append(row);
    }
    const since = one.since ? `, for ${duration(Date.now() / 1000 - one.since)}` : "";
    cell(row, "user", `${one.server || "default server"}${since}`);
    const place = cell(row, "do");
    cell(row, "cpu", of(one.cpu ?? NaN, one.cpu_limit, cpus));
    cell(row, "memory", of(one.memory, one.memory_limit, bytes));
    cell(row, "reserve", amounts(one.cpu_reserve, one.memory_reserve) || "–");
    cell(row, "rest").colSpan = 6;
    if (!place.firstChild) {
      const label = `Stop ${one.server || "the default server"} of ${one.user}`;
      place.append(
        element("button", { type: "button", class: "btn btn-sm btn-outline-danger", "aria-label": label }, "Stop"),
      );
    }
  }
  for (const gone of known.values()) gone.remove();
}

const VALUES = { reserve: (user) => user.memory_reserve + user.cpu_reserve * 2 ** 32 };

function order() {
  const value = VALUES[sort.key] || ((user) => user[sort.key]);
  const filter = document.getElementById("filter").value.trim().toLowerCase();
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (a ?? -1) - (b ?? -1));
  const sorted = [...bodies.values()].sort((a, b) => {
    const by = compare(value(a.about), value(b.about)) * (sort.down ? -1 : 1);
    return by || a.about.user.localeCompare(b.about.user);
  });
  sorted.forEach((body, i) => {
    body.hidden = !body.about.user.toLowerCase().includes(filter);
    if (table.tBodies[i] !== body) moved(body, i);
  });
  for (const head of table.tHead.querySelectorAll("[data-key]")) {
    const here = head.dataset.key === sort.key;
    if (here) head.setAttribute("aria-sort", sort.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
}

/** Put a row at its place; the focus in it would be lost on the way. */
function moved(body, i) {
  const focus = body.contains(document.activeElement) ? document.activeElement : null;
  table.insertBefore(body, table.tBodies[i] ?? null);
  focus?.focus({ preventScroll: true });
}

function showMachine() {
  const now = usage.machine;
  machine.cpu.show(now.cpu, now.cpus);
  machine.memory.show(now.memory, now.memory_total);
  const reserved = usage.users.reduce((a, u) => [a[0] + (u.cpu_reserve || 0), a[1] + (u.memory_reserve || 0)], [0, 0]);
  const facts = [
    ["Running", `${count(now.servers, "server")} of ${count(usage.users.filter((u) => u.servers).length, "person", "people")}`],
    ["They take", amounts(now.servers_cpu, now.servers_memory) || "nothing"],
    ["Reserved", amounts(...reserved) || "nothing"],
    ["Load", (now.load || []).map((one) => one.toFixed(1)).join("  ")],
    ["Disk of homes", `${bytes(now.disk)} of ${bytes(now.disk_total)}`],
    ...(now.gpus || []).map((gpu) => [gpu.name, `${Math.round(gpu.busy * 100)} %, ${of(gpu.memory, gpu.memory_total, bytes)}`]),
  ];
  document
    .getElementById("short")
    .replaceChildren(...facts.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)]));
}

const sum = (values) => values.reduce((a, v) => a + (v || 0), 0);
const largest = (values) => values.reduce((a, v) => Math.max(a, v || 0), 0);

function rank(id, users, value, format) {
  const found = users
    .map((user) => [user.user, value(user)])
    .filter(([, value]) => value > 0)
    .sort((a, b) => b[1] - a[1])
    .slice(0, TOP);
  const most = found[0]?.[1];
  const lines = found.map(([user, value]) => {
    const fill = element("span", { class: "hw-fill" });
    fill.style.width = `${(100 * value) / most}%`;
    return element(
      "li",
      {},
      element("span", { class: "hw-tile-head" }, element("b", {}, user), element("span", { class: "hw-now" }, format(value))),
      element("span", { class: "hw-bar", "aria-hidden": "true" }, fill),
    );
  });
  const place = document.getElementById(id);
  place.replaceChildren(...(lines.length ? lines : [element("li", { class: "hw-quiet" }, "Nobody.")]));
}

function showHistory(history) {
  const words = WORDS[hours];
  for (const place of document.querySelectorAll("[data-words]")) say(place, words);
  const total = { cpu: usage.machine.cpus, memory: usage.machine.memory_total };
  for (const kind of ["cpu", "memory"]) {
    const { place, format, name } = machine[kind];
    const line = { name, kind, values: history.machine[kind] };
    const label = `${name} of the machine, ${words}`;
    const width = Math.max(260, place.clientWidth);
    place.replaceChildren(chart([line], { ...history, format, max: total[kind], label, width }));
  }
  const users = history.users || [];
  rank("most-cpu", users, (user) => sum(user.cpu) * history.step, duration);
  rank("most-memory", users, (user) => largest(user.memory), bytes);
  for (const body of bodies.values()) {
    const line = users.find((one) => one.user === body.about.user);
    const place = cell(body.rows[0], "plot");
    if (!line || !line.cpu.some(Number.isFinite)) place.replaceChildren();
    else place.replaceChildren(spark(line.cpu, { kind: "cpu", label: `CPU of ${body.about.user}, ${words}` }));
  }
}

async function measure() {
  const note = document.getElementById("note");
  const asked = hours;
  const history = Date.now() - plotted > (asked > 1 ? 60_000 : 15_000);
  try {
    usage = await get(`hubwright/usage?all=1${history ? `&hours=${asked}&points=150&top=100` : ""}`);
  } catch (error) {
    note.hidden = false;
    say(note, `What is in use cannot be shown at the moment. ${error.message}`);
    document.getElementById("measured").hidden = !usage; // empty boxes tell nothing
    throw error;
  }
  document.getElementById("measured").hidden = false;
  note.hidden = !usage.warning;
  say(note, usage.warning || "");
  showMachine();
  const known = new Set(usage.users.map((user) => user.user));
  for (const [name, body] of bodies) {
    if (known.has(name)) continue;
    body.remove();
    bodies.delete(name);
  }
  for (const user of usage.users) showUser(user);
  order();
  say(document.getElementById("empty"), usage.users.length ? "" : "Nobody has had a server within a week.");
  if (usage.history && asked === hours) {
    past = usage.history;
    showHistory(past);
    plotted = Date.now();
  }
  clearTimeout(measure.soon);
  if (table.querySelector("button:disabled")) measure.soon = setTimeout(live, 2000); // a server that is being stopped
}

async function stop(button) {
  const body = button.closest("tbody");
  const server = button.closest("tr").dataset.server;
  const user = body.about.user;
  const problem = document.getElementById("problem");
  problem.hidden = true;
  if (!window.confirm(`${button.getAttribute("aria-label")}? What is not saved there is lost.`)) return;
  button.disabled = true;
  say(button, "Stopping");
  try {
    await send("DELETE", serverPath(user, server));
    live();
  } catch (error) {
    problem.hidden = false;
    say(problem, error.message);
    button.disabled = false;
    say(button, "Stop");
  }
}

table.addEventListener("click", (event) => {
  const head = event.target.closest("[data-key]");
  if (head) {
    const key = head.dataset.key;
    sort = { key, down: sort.key === key ? !sort.down : key !== "user" };
    if (usage) order();
  } else if (event.target.closest("button")) {
    stop(event.target.closest("button"));
  }
});
document.getElementById("filter").addEventListener("input", order);
const live = every(10, measure);
document.getElementById("range").addEventListener("change", (event) => {
  hours = Number(event.target.value);
  plotted = 0;
  live();
});
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width || !past) return;
  width = window.innerWidth;
  showHistory(past);
});
window._jupyterhub_page_loaded = true;
