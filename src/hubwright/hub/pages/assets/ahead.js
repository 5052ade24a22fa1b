// First of all in a page of JupyterLab that a browser makes ready before it is opened (hub/ahead.py): whatever would go to
// the server waits until the page is shown, and until the server's own page says that it is the same as this one.

(() => {
  const { prefix } = document.currentScript.dataset;
  const LONG = 3000; // ms; a shorter wait is over anyhow when the page is shown
  const [ask, later, forget] = [window.fetch, window.setTimeout, window.clearTimeout];
  const { send } = XMLHttpRequest.prototype;
  const Socket = window.WebSocket;
  const timers = new Map();
  let open = false;
  let release;
  const opened = new Promise((done) => (release = done));
  const ours = (url) => new URL(url, location.href).pathname.startsWith(prefix);

  const shown = new Promise((done) => {
    if (document.prerendering) document.addEventListener("prerenderingchange", done, { once: true });
    else done();
  });

  window.fetch = async (asked, more) => {
    if (open || !ours(asked instanceof Request ? asked.url : asked)) return ask(asked, more);
    await opened;
    const request = new Request(asked, more);
    const token = /\b_xsrf=([^;]*)\b/.exec(document.cookie);
    if (token) request.headers.set("X-XSRFToken", token[1]);
    return ask(request);
  };

  XMLHttpRequest.prototype.send = function (...body) {
    if (open) send.apply(this, body);
    else opened.then(() => send.apply(this, body));
  };

  // Answers as one that still connects, until there is a real one.
  class Waiting extends EventTarget {
    constructor(...asked) {
      super();
      Object.assign(this, { url: String(asked[0]), protocol: "", readyState: 0, binaryType: "blob", ended: false });
      opened.then(() => this.ended || this.begin(asked));
    }

    begin(asked) {
      this.real = new Socket(...asked);
      this.real.binaryType = this.binaryType;
      for (const kind of ["open", "message", "error", "close"]) {
        this.real.addEventListener(kind, (event) => {
          this.readyState = this.real.readyState;
          this.protocol = this.real.protocol;
          const same = new event.constructor(kind, event);
          this[`on${kind}`]?.(same);
          this.dispatchEvent(same);
        });
      }
    }

    send(data) {
      if (!this.real) throw new DOMException("Still connecting.", "InvalidStateError");
      this.real.send(data);
    }

    close(...why) {
      this.ended = true;
      this.readyState = 3;
      this.real?.close(...why);
    }
  }
  window.WebSocket = new Proxy(Socket, {
    construct: (target, asked) => (open ? new target(...asked) : new Waiting(...asked)),
  });

  // While nobody looks, no time passes for what would say that it takes long.
  window.setTimeout = (work, pause, ...words) => {
    if (open || !(pause >= LONG)) return later(work, pause, ...words);
    const number = later(() => {}, 2 ** 31 - 1);
    timers.set(number, () => later(work, pause, ...words));
    return number;
  };
  window.clearTimeout = (number) => {
    const held = timers.get(number);
    if (typeof held === "number") forget(held);
    timers.delete(number);
    forget(number);
  };
  Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => "visible" });

  const config = (page) => JSON.parse(page.getElementById("jupyter-config-data").textContent);

  /** Whether the server's page is this one, but for the token, which cookies stand in for, and the count of pages. */
  async function same() {
    const answer = await ask(location.href, { mode: "no-cors", cache: "no-store" });
    if (!answer.ok || new URL(answer.url).pathname !== location.pathname) return false;
    const real = config(new DOMParser().parseFromString(await answer.text(), "text/html"));
    const here = config(document);
    const names = new Set([...Object.keys(real), ...Object.keys(here)]);
    for (const name of ["token", "store_id"]) names.delete(name);
    const other = [...names].filter((name) => JSON.stringify(real[name]) !== JSON.stringify(here[name]));
    if (other.length) console.info(`This page is loaded again: ${other.join(", ")}`);
    return !other.length;
  }

  async function begin() {
    await shown;
    if (!(await same().catch(() => false))) {
      location.reload();
      return;
    }
    delete document.hidden;
    delete document.visibilityState;
    open = true;
    for (const [number, start] of timers) timers.set(number, start());
    for (const link of document.querySelectorAll("link[href]")) {
      if (ours(link.href)) link.replaceWith(link.cloneNode());
    }
    release();
  }
  begin();
})();
