// The page of what one was handed out: which files are not as their originals, and originals again, one by one.

import { get, post } from "./api.js";
import { complain, count, element, say } from "./words.js";

const { base_url: base } = window.jhdata;
const me = document.getElementById("content").dataset.user;
const place = document.getElementById("contents");
const told = document.getElementById("told");

const WORDS = {
  edited: "edited by you",
  deleted: "deleted by you",
  beside: "edited by you; there is a new version",
  update: "there is a new version",
  new: "not here yet",
};

const path = (text) => text.split("/").map(encodeURIComponent).join("/");

/** The API tells of paths in the home, and is asked for paths in the content. */
const inside = (content, place) => place.slice(content.target.length + 1);

function row(content, { what, path: whole }) {
  const file = inside(content, whole);
  const button = element("button", { type: "button", class: "btn btn-outline-contrast" }, "Get the original");
  button.setAttribute("aria-label", `Get the original of ${file}`);
  button.addEventListener("click", () => restore(button, content, file));
  const name = element("div", { class: "hw-name" }, element("strong", {}, file));
  name.append(element("p", { class: "hw-facts" }, WORDS[what]));
  return element("li", { class: "hw-card hw-server", "data-file": file }, name, element("div", { class: "hw-actions" }, button));
}

function section(content) {
  const steps = content.steps.filter(({ what }) => WORDS[what]);
  const folder = `${base.replace(/hub\/$/, "")}user/${encodeURIComponent(me)}/lab/tree/${path(content.target)}`;
  const made = element("section", { "data-content": content.name }, element("h2", {}, element("a", { href: folder }, content.target)));
  for (const text of [content.error, ...content.problems].filter(Boolean)) made.append(element("p", { class: "hw-why" }, text));
  const same = steps.length ? `${count(steps.length, "file")} not as handed out:` : "All of it is as it was handed out.";
  made.append(element("p", { class: "hw-quiet" }, same));
  made.append(element("ul", { class: "hw-servers" }, ...steps.map((step) => row(content, step))));
  return made;
}

async function show() {
  const { contents } = await get("hubwright/content");
  place.replaceChildren(...contents.map(section));
  if (!contents.length) place.append(element("p", { class: "hw-quiet" }, "Nothing is handed out to you."));
}

async function restore(button, content, file) {
  complain("");
  button.disabled = true;
  try {
    const { contents } = await post("hubwright/content/restore", { content: content.name, paths: [file] });
    const [{ steps, error, problems }] = contents;
    if (error || problems.length) throw new Error([error, ...problems].filter(Boolean).join("; "));
    const beside = steps.find(({ what }) => what === "beside");
    await show();
    say(told, beside ? `The original is beside yours: ${inside(content, beside.place)}` : `${file} is as it was handed out.`);
  } catch (error) {
    complain(error.message);
    button.disabled = false;
  }
}

show().catch((error) => complain(error.message));
