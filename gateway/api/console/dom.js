// Builds elements. Texts become text nodes; nothing is parsed as markup.

import { formatTime, t } from "./i18n.js";

const PROPERTIES = new Set(["value", "checked", "disabled", "max", "hidden", "multiple", "selected", "required"]);
// Control characters, and marks that are invisible or change the direction of text.
const INVISIBLE = /([\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff])/u;

/** Return an element; attributes that start with "on" are listeners, null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Return a text of unknown origin: isolated, so that it cannot reorder its surroundings, its invisible marks shown. */
export function foreign(text, attributes = {}) {
  const parts = String(text ?? "–").split(INVISIBLE);
  return h("bdi", attributes, parts.map((part, index) => (index % 2 ? mark(part) : part)));
}

function mark(character) {
  const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  return h("span", { class: "mark" }, `U+${code}`);
}

export const button = (label, onclick, attributes = {}) => h("button", { type: "button", onclick, ...attributes }, label);

export const link = (href, ...children) => h("a", { href }, children);

export const badge = (kind, label) => h("span", { class: `badge ${kind}` }, label);

export const time = (value) => (value ? h("time", { datetime: value }, formatTime(value)) : "–");

/** Return a list of names and values; pairs without a value are left out. */
export function facts(pairs) {
  const present = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return h("dl", { class: "facts" }, present.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Return a table that scrolls by itself and shows its cells as lines on narrow screens. */
export function table(caption, columns, rows) {
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)));
  return h("table", {}, h("caption", { class: "visually-hidden" }, caption), h("thead", {}, head), h("tbody", {}, rows));
}

/** Return a row whose cells carry their column's name for narrow screens. */
export const row = (columns, cells) =>
  h("tr", {}, cells.map((cell, index) => h("td", { "data-label": columns[index] }, h("span", {}, cell))));

/** Return a labelled control. */
export function labelled(label, control, attributes = {}) {
  return h("div", { class: "field", ...attributes }, h("label", { for: control.id }, label), control);
}

/** Return a select with these [value, label] pairs. */
export function select(id, options, value, onchange) {
  const items = options.map(([key, label]) => h("option", { value: key, selected: key === value }, label));
  return h("select", { id, onchange: onchange && ((event) => onchange(event.target.value)) }, items);
}

/** Say a result to assistive technology. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 50);
}

/** Ask a question in a modal dialog; resolve to what `read` returns, or to null if it is cancelled. */
export function ask(title, content, action, { danger = false, read = () => true } = {}) {
  return new Promise((resolve) => {
    const close = (value) => { dialog.close(); dialog.remove(); resolve(value); };
    const dialog = h("dialog", { "aria-labelledby": "dialog-title", oncancel: () => close(null) },
      h("form", { onsubmit: (event) => { event.preventDefault(); close(read()); } },
        h("h2", { id: "dialog-title" }, title), content,
        h("div", { class: "actions" },
          h("button", { type: "submit", class: danger ? "danger" : "primary" }, action),
          button(t("cancel"), () => close(null)))));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Offer a text as a file. */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Wait, or throw when the signal aborts. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
    if (signal?.aborted) reject(signal.reason);
  });
}
