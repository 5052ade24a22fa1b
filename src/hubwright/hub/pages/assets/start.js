// The choice of a server: what this user may have, what the machine has free, and what cannot start now and why.
// Everything is decided again by the hub when the server starts; the page only keeps people from asking in vain.

import { every, get } from "./api.js";
import { amount } from "./amount.js";
import { able, makeReady, startAndOpen } from "./ready.js";
import { tile } from "./tiles.js";
import { bytes, count, cpus, element, say } from "./words.js";

const GB = 2 ** 30;
const page = document.getElementById("start");
const form = document.getElementById("spawn_form");
const { user, server } = page.dataset;
const measured = !("unmeasured" in page.dataset);
const part = (id) => document.getElementById(id);
const choices = { size: new Map(), image: new Map() };
let offer = null;

const cpuWords = (value) => `${cpus(value)} CPU`;
const memoryWords = (value) => bytes(value * GB);
const plain = (value) => String(Math.round(value * 1e6) / 1e6);
const inBytes = (value) => String(Math.round(value * GB));
const own = {
  cpu: amount("cpu", { least: 0.1, toField: plain, words: cpuWords }),
  memory: amount("memory", { least: 0.25, toField: inBytes, words: memoryWords }),
};
const reserve = {
  cpu: amount("reserve-cpu", { least: 0, toField: plain, words: cpuWords }),
  memory: amount("reserve-memory", { least: 0, toField: inBytes, words: memoryWords }),
};

/** One of the choices, as a card with a radio button; `why` not, when it cannot be had now. */
function card(kind, value, title, what, help = "") {
  const id = `${kind}-${choices[kind].size}`;
  const radio = element("input", { type: "radio", class: "form-check-input", name: kind, value, id });
  const about = element("span", { class: "hw-quiet", id: `${id}-what` }, what);
  const why = element("span", { class: "hw-not", id: `${id}-why`, hidden: true });
  const node = element(
    "label",
    { class: "hw-choice", for: id },
    radio,
    element("span", { class: "hw-choice-name" }, title),
    what ? about : null,
    help ? element("span", { class: "hw-quiet hw-help", id: `${id}-help` }, help) : null,
    why,
  );
  radio.setAttribute("aria-describedby", [what ? `${id}-what` : "", help ? `${id}-help` : "", `${id}-why`].filter(Boolean).join(" "));
  const made = {
    node,
    radio,
    describe(words) {
      say(about, words);
    },
    /** Grey it out; what holds for all of them is said once, above. */
    refuse(reason) {
      const own = reason && reason !== offer.refused ? reason : "";
      radio.disabled = Boolean(reason);
      node.classList.toggle("hw-refused", Boolean(reason));
      node.classList.toggle("hw-reasoned", Boolean(own));
      why.hidden = !own;
      say(why, own);
    },
  };
  choices[kind].set(value, made);
  part(`${kind}-choices`).append(node);
  return made;
}

const chosen = (kind) => form.querySelector(`input[name="${kind}"]:checked`)?.value;
const size = () => offer.sizes.find((one) => one.name === chosen("size"));

function describe(one) {
  return [cpuWords(one.cpu), bytes(one.memory), one.gpu ? `${one.gpu} GPU` : ""].filter(Boolean).join(" · ");
}

/** Make the cards, once. */
function build() {
  for (const one of offer.sizes) card("size", one.name, one.name, describe(one));
  card("size", "", "As you like", "up to a limit");
  for (const one of offer.images) card("image", one.name, one.name, "", one.help);
  part("sizes").hidden = false;
  part("images").hidden = offer.images.length < 2;
  part("reserve").hidden = !(offer.reserve.cpu || offer.reserve.memory);
  limit();
  preselect(asked());
}

/** What is left of the total for all servers of this user; a part of the total that is zero is no limit. */
function left(kind) {
  return offer.total?.[kind] ? Math.max(0, offer.total[kind] - offer.used[kind]) : Infinity;
}

/** Take over what may change from one look to the next: what fits, and where the sliders end. */
function limit() {
  for (const one of offer.sizes) choices.size.get(one.name)?.refuse(one.fits ? "" : one.reason);
  const most = { cpu: Math.min(offer.largest.cpu, left("cpu")), memory: Math.min(offer.largest.memory, left("memory")) };
  own.cpu.limit(most.cpu);
  own.memory.limit(most.memory / GB);
  const none = most.cpu < 0.1 || most.memory < GB / 4;
  choices.size.get("").describe(none ? "" : `up to ${describe(most)}`);
  choices.size.get("").refuse(offer.refused || (none ? "Your other servers have all that you may have." : ""));
}

/** What the link, or the form that was refused, holds. */
function asked() {
  const { reserve_cpu: cpu, reserve_memory: memory, ...rest } = JSON.parse(page.dataset.choice);
  return cpu || memory ? { ...rest, reserve: { cpu, memory } } : rest;
}

/** Bytes of `4G`, `512M` or a number. */
function parse(text) {
  const found = /^\s*([0-9.]+)\s*([KMGT]?)/i.exec(String(text));
  return found ? Number(found[1]) * 1024 ** " KMGT".indexOf(found[2].toUpperCase() || " ") : NaN;
}

function preselect(link) {
  const wanted = Object.keys(link).length ? link : offer.last || {};
  const free = wanted.cpu !== undefined || wanted.memory !== undefined;
  const usual = offer.sizes.find((one) => one.fits) || offer.sizes[0];
  const known = offer.sizes.find((one) => one.name === wanted.size && (one.fits || wanted === link));
  const named = (known || usual)?.name;
  const base = offer.sizes.find((one) => one.name === named) || offer.largest;
  own.cpu.set(free && wanted.cpu !== undefined ? Number(wanted.cpu) : base.cpu);
  own.memory.set((free && wanted.memory !== undefined ? parse(wanted.memory) : base.memory) / GB);
  pick("size", free ? "" : named);
  pick("image", choices.image.has(wanted.image) ? wanted.image : offer.images[0]?.name);
  const kept = wanted.reserve || {};
  reserve.cpu.limit(offer.reserve.cpu || 0);
  reserve.memory.limit((offer.reserve.memory || 0) / GB);
  reserve.cpu.set(Number(kept.cpu) || 0);
  reserve.memory.set((parse(kept.memory) || 0) / GB);
  part("reserve").open = reserve.cpu.get() > 0 || reserve.memory.get() > 0;
}

function pick(kind, value) {
  const one = choices[kind].get(value);
  if (one) one.radio.checked = true;
}

/** Bring the page in line with what is chosen and what is free. */
function update() {
  const one = size();
  const free = offer.free || {};
  part("own").hidden = Boolean(one);
  own.cpu.send(!one);
  own.memory.send(!one);
  // the empty value of "As you like" is no size
  const most = one || { cpu: own.cpu.get(), memory: own.memory.get() * GB };
  for (const [kind, scale] of [["cpu", 1], ["memory", GB]]) {
    const limit = Math.min(offer.reserve[kind] || 0, most[kind], free[kind] ?? Infinity) / scale;
    reserve[kind].limit(Math.max(0, limit));
    reserve[kind].set(Math.min(reserve[kind].get(), limit));
    reserve[kind].send(reserve[kind].get() > 0);
    part(`reserve-${kind}-amount`).hidden = !offer.reserve[kind];
  }
  const kept = [
    reserve.cpu.get() ? cpuWords(reserve.cpu.get()) : "",
    reserve.memory.get() ? memoryWords(reserve.memory.get()) : "",
  ].filter(Boolean);
  const rest = [free.cpu ? cpuWords(free.cpu) : "", free.memory ? bytes(free.memory) : ""].filter(Boolean);
  const may = offer.reserve.cpu || offer.reserve.memory;
  say(notes.free, may ? `${rest.join(" and ") || "Nothing"} can still be reserved.` : "");
  const { used, allowed } = offer.servers;
  say(notes.own, used ? `${count(used, "other server")} of yours; you may run ${allowed} at the same time.` : "");
  part("machine").parentElement.hidden = !measured && !notes.free.textContent && !notes.own.textContent;
  say(part("reserve-now"), kept.length ? `· ${kept.join(" and ")}` : "");
  const words = [one?.name, describe(most), chosen("image"), kept.length ? `${kept.join(" and ")} reserved` : ""];
  const refused = choices.size.get(chosen("size") ?? "")?.radio.disabled;
  part("go").disabled = Boolean(refused || offer.refused);
  part("away").hidden = !offer.refused;
  say(part("away"), offer.refused);
  say(part("summary"), refused ? "This cannot start now; it says above why." : words.filter(Boolean).join(" · "));
}

for (const bound of [...Object.values(own), ...Object.values(reserve)]) bound.onchange = () => update();
form.addEventListener("change", () => offer && update());
form.addEventListener("submit", (event) => {
  for (const radio of form.querySelectorAll('input[name="size"][value=""]')) radio.disabled = radio.checked;
  part("go").disabled = true;
  say(part("go"), "Starting …");
  if (!able || !page.dataset.ahead) return;
  event.preventDefault();
  start();
});

/** The form's fields as the API takes them (profiles/request.py does the same where no script runs). */
function options() {
  const [found, kept] = [{}, {}];
  for (const [name, value] of new FormData(form)) {
    const [, kind] = /^(?:reserve_)?(cpu|memory)$/.exec(name) || [];
    if (name.startsWith("_") || value === "") continue;
    if (!kind) found[name] = value;
    else (kind === name ? found : kept)[kind] = Number(value);
  }
  return Object.keys(kept).length ? { ...found, reserve: kept } : found;
}

/** Start from here, so that the page that is ready opens; when it cannot be, the hub's own pages say why. */
async function start() {
  try {
    await startAndOpen(user, server, page.dataset, options());
  } catch (error) {
    if (error.status >= 500) window.location.assign(page.dataset.progress);
    else form.submit();
  }
}
if (page.dataset.ahead) makeReady([page.dataset.ahead]);

window.addEventListener("pageshow", (event) => {
  if (event.persisted) window.location.reload(); // the choice of a page that was left is stale
});

const tiles = { cpu: tile("cpu", "CPU in use", cpus), memory: tile("memory", "Memory in use", bytes) };
const notes = { free: element("p"), servers: element("p"), own: element("p") };
tiles.cpu.node.hidden = tiles.memory.node.hidden = part("machine").parentElement.hidden = !measured;
part("machine").replaceChildren(
  tiles.cpu.node,
  tiles.memory.node,
  element("div", { class: "hw-notes", "aria-live": "polite" }, notes.free, notes.servers, notes.own),
);

/** What is in use on the machine; the choice does without it. */
async function measure() {
  try {
    const { machine, warning } = await get("hubwright/usage");
    tiles.cpu.node.hidden = tiles.memory.node.hidden = false;
    tiles.cpu.show(machine.cpu, machine.cpus);
    tiles.memory.show(machine.memory, machine.memory_total);
    const running = machine.servers ? `${count(machine.servers, "server runs", "servers run")} here in all.` : "No server runs here now.";
    say(notes.servers, warning || running);
  } catch (error) {
    tiles.cpu.node.hidden = tiles.memory.node.hidden = true;
    say(notes.servers, "What is in use cannot be shown at the moment.");
    throw error;
  }
}

async function look() {
  const query = new URLSearchParams({ user, server });
  try {
    const found = await get(`hubwright/offer?${query}`);
    const first = offer === null;
    offer = found;
    if (first) build();
    else limit();
    update();
  } catch (error) {
    part("away").hidden = offer !== null;
    say(part("away"), `The choice cannot be shown at the moment. ${error.message} Start gives you what is usual here.`);
    throw error;
  }
}

every(5, look);
if (measured) every(5, measure);
window._jupyterhub_page_loaded = true;
