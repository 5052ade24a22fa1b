// On every page: which entry of the navigation this page is, times in words, and JupyterLab's scripts made ready.

import { duration } from "./words.js";

for (const link of document.querySelectorAll("#thenavbar .nav-link[href]")) {
  if (link.pathname === window.location.pathname) {
    link.classList.add("active");
    link.setAttribute("aria-current", "page");
  }
}

/** Write how long ago each `<time data-age>` was. */
export function ages(root = document) {
  for (const time of root.querySelectorAll("time[data-age]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (!Number.isFinite(seconds)) continue;
    time.textContent = time.dataset.age === "ago" ? `${duration(seconds)} ago` : duration(seconds);
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

ages();

/** Have Chromium keep JupyterLab's scripts compiled (hubwright/worker.js); other browsers have no use for it. */
async function keepLab() {
  if (!navigator.userAgentData || !navigator.serviceWorker) return;
  const root = window.jhdata.base_url.replace(/hub\/$/, "");
  const scope = `${root}user/`;
  try {
    const known = await navigator.serviceWorker.getRegistration(scope);
    await (known ? known.update() : navigator.serviceWorker.register(`${root}hubwright/worker.js`, { scope }));
  } catch (error) {
    console.info(error.message);
  }
}

if (document.readyState === "complete") keepLab();
else window.addEventListener("load", keepLab);
