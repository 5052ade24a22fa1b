// Times of day as the person who looks reads them.

import { say } from "./words.js";

/** "Mon, 21 Oct, 09:00" for Unix seconds; the day is left out where it is today. */
export function moment(seconds) {
  const at = new Date(seconds * 1000);
  const clock = { hour: "2-digit", minute: "2-digit" };
  if (at.toDateString() === new Date().toDateString()) return at.toLocaleTimeString([], clock);
  return at.toLocaleString([], { weekday: "short", day: "numeric", month: "short", ...clock });
}

for (const one of document.querySelectorAll("time[data-at]")) say(one, moment(Number(one.dataset.at)));
