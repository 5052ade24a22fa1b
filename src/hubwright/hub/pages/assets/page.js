// On every page: which entry of the navigation this page is, and times in words.

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
