// Draws forms from a connection's JSON Schema, reads them, and shows each error at its field.

import { lookupPath, send } from "./api.js";
import { combobox } from "./combobox.js";
import { foreign, h, select } from "./dom.js";
import { has, t } from "./i18n.js";
import { plain } from "./problem.js";

const LOOKUPS = { scope: "scopes", parent: "parents", owners: "owners" };
const LONG_TEXT = 200; // characters from which a field gets several lines

/** Return the loader of a lookup for a combobox; `scope` returns the scope at the time of the search. */
export function lookup(backend, kind, scope = () => "") {
  return async (text, signal) => {
    if (kind !== "scopes" && !scope()) return [];
    const { data } = await send("GET", lookupPath(backend, kind, scope()), { query: { q: text, page_size: 50 }, signal });
    return data.items;
  };
}

/** Return the fields of a create, from its schema. */
export function createFields(backend) {
  const { properties, required } = backend.create_schema;
  return Object.entries(properties).flatMap(([name, schema]) => {
    if (name === "backend") return [];
    if (name !== "attributes") return [{ path: [name], schema, required: required.includes(name) }];
    return Object.entries(schema.properties).map(([key, inner]) => ({ path: [name, key], schema: inner, required: false }));
  });
}

/** Return the fields of an update. */
export function updateFields(backend) {
  return backend.fields.filter((field) => field.writable.includes("update")).map((field) => ({
    path: field.name.split("."), schema: field.schema, required: false, isUnreadable: !field.readable,
  }));
}

export class Form {
  /** Draw `fields`; `value(path)` is what a field has at first. */
  constructor({ backend, fields, value = () => null, id }) {
    this.backend = backend;
    this.controls = fields.map((field) => this.control(field, value(field.path), id));
    this.element = h("div", { class: "fields" }, this.controls.map((control) => control.element));
  }

  control(field, value, prefix) {
    const { path, schema } = field, types = [schema.type].flat(), name = path[0];
    const id = `${prefix}-${path.join("-")}`, label = fieldLabel(path), hintId = `${id}-hint`, errorId = `${id}-error`;
    const initial = inputText(value);
    const isSingle = path.length === 1 && (!types.includes("array") || schema.maxItems === 1);
    const kind = isSingle && this.backend.lookups.includes(LOOKUPS[name]) ? LOOKUPS[name] : null;
    let input, body;
    if (kind) {
      const shown = Array.isArray(value) ? plain(value.slice(0, 1)) : "";
      const box = combobox({ id, label, value: initial, name: shown === "–" ? "" : shown, load: lookup(this.backend.name, kind, () => this.valueOf("scope")) });
      [input, body] = [box.input, box.element];
    } else if (types.includes("boolean")) {
      input = body = select(id, [["", "–"], ["true", t("yes")], ["false", t("no")]], initial);
    } else if (schema.maxLength >= LONG_TEXT && name === "description") {
      input = body = h("textarea", { id, rows: 3, value: initial });
    } else {
      input = body = h("input", { id, type: "text", value: initial, autocomplete: "off", spellcheck: "false", inputmode: types.includes("integer") ? "numeric" : null });
    }
    const error = h("p", { class: "error", id: errorId });
    input.setAttribute("aria-describedby", `${errorId} ${hintId}`);
    if (field.required) input.setAttribute("aria-required", "true");
    input.addEventListener("input", () => this.setError(control, ""));
    const clear = field.isUnreadable ? h("input", { type: "checkbox", id: `${id}-replace` }) : null;
    if (clear) input.addEventListener("input", () => { clear.checked = true; });
    const element = h("div", { class: "field" },
      h("label", { for: id }, label, field.required && h("span", { class: "required", "aria-hidden": "true" }, " *")), body,
      clear && h("div", { class: "check" }, clear, h("label", { for: clear.id }, t("replaceUnreadable"))), error,
      h("p", { class: "hint", id: hintId, lang: "en" }, schema.description));
    const control = { ...field, input, error, element, initial, clear, types };
    return control;
  }

  /** The text or chosen id of a control. */
  text(control) {
    return (control.input.choice ?? control.input.value).trim();
  }

  valueOf(name) {
    const control = this.controls.find(({ path }) => path[0] === name);
    return control ? this.text(control) : this.scope ?? "";
  }

  isChanged(control) {
    return control.clear ? control.clear.checked : this.text(control) !== control.initial.trim();
  }

  /** Return the values that are given; with `changedOnly` those that differ from the first ones, null if emptied. */
  read({ changedOnly = false } = {}) {
    const document = {};
    for (const control of this.controls) {
      const text = this.text(control), [name, key] = control.path;
      if (changedOnly ? !this.isChanged(control) : text === "") continue;
      const value = text === "" ? emptyValue(control) : parseValue(control, text);
      if (key === undefined) document[name] = value;
      else (document[name] ??= {})[key] = value;
    }
    return document;
  }

  /** Show errors at their fields and focus the first; return those that no field shows. */
  showErrors(errors) {
    this.controls.forEach((control) => this.setError(control, ""));
    const rest = errors.filter(({ pointer, detail }) => {
      const control = this.controls.find(({ path }) => `${pointer}/`.startsWith(`/${path.join("/")}/`));
      if (control) this.setError(control, detail);
      return !control;
    });
    this.controls.find(({ input }) => input.getAttribute("aria-invalid"))?.input.focus();
    return rest;
  }

  setError(control, text) {
    control.error.replaceChildren(...(text ? [foreign(text)] : []));
    if (text) control.input.setAttribute("aria-invalid", "true");
    else control.input.removeAttribute("aria-invalid");
  }
}

export const fieldLabel = (path) => (path.length === 1 && has(`field.${path[0]}`) ? t(`field.${path[0]}`) : path.at(-1));

function inputText(value) {
  if (value === null || value === undefined) return "";
  return Array.isArray(value) ? value.map((item) => item.id ?? item).join(", ") : String(value);
}

function emptyValue({ types }) {
  return types.includes("array") ? [] : null;
}

/** Return the value that a text stands for; what is no number or list of them is sent as it is, and refused. */
export function parseValue({ types }, text) {
  if (types.includes("array")) return text.split(/[\s,;]+/).filter(Boolean);
  if (types.includes("boolean") && !types.includes("string")) return text === "true" ? true : text === "false" ? false : text;
  if (types.includes("integer") && Number.isSafeInteger(Number(text))) return Number(text);
  return text;
}
