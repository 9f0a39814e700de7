// A text field with choices from a lookup: what is typed filters them, and an id can be typed as it is.

import { foreign, h, pause } from "./dom.js";
import { t } from "./i18n.js";

/** Return an input; `input.choice` is the id, `load(text)` returns the items, `onchoose` gets the id. */
export function combobox({ id, label, load, value = "", name = "", onchoose = () => {} }) {
  const listId = `${id}-list`, shownId = h("span", { class: "hint id", id: `${id}-id` });
  let items = [], active = -1, search = null;
  const list = h("ul", { id: listId, role: "listbox", "aria-label": label, hidden: true });
  const input = h("input", {
    id, type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", value: name || value,
    "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": listId,
    onclick: () => open(""),
    oninput: () => { setChoice(input.value.trim()); open(input.value.trim()); },
    onblur: () => { chooseExact(); close(); },
    onkeydown: (event) => {
      const isOpen = !list.hidden;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (isOpen) move(event.key === "ArrowDown" ? 1 : -1);
        else open("");
      } else if (event.key === "Enter" && isOpen && active >= 0) {
        event.preventDefault();
        choose(items[active]);
      } else if (event.key === "Escape" && isOpen) {
        event.stopPropagation();
        event.preventDefault();
        close();
      }
    },
  });
  setChoice(value);

  function setChoice(choice) {
    input.choice = choice;
    shownId.textContent = choice && choice !== input.value.trim() ? choice : "";
  }

  function choose(item) {
    if (!item.usable) return;
    input.value = item.name;
    setChoice(item.id);
    close();
    onchoose(item.id);
  }

  function chooseExact() {
    const typed = input.value.trim();
    const exact = items.filter((item) => item.usable && (item.name === typed || item.id === typed));
    if (typed && input.choice === typed && exact.length === 1) choose(exact[0]);
    else if (typed && input.choice === typed) onchoose(typed);
  }

  async function open(text) {
    search?.abort();
    search = new AbortController();
    const { signal } = search;
    try {
      if (text) await pause(0.15, signal);
      items = await load(text, signal);
      show(items.length ? null : t("noChoice"));
    } catch (error) {
      if (signal.aborted) return;
      items = [];
      show(error.title ?? String(error));
    }
  }

  function show(note) {
    if (document.activeElement !== input) return;
    active = -1;
    list.replaceChildren(...(note ? [h("li", { role: "option", "aria-disabled": "true" }, note)] : items.map(option)));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    input.removeAttribute("aria-activedescendant");
  }

  function option(item, index) {
    return h("li", {
      id: `${listId}-${index}`, role: "option", "aria-selected": "false", "aria-disabled": item.usable ? null : "true",
      onmousedown: (event) => { event.preventDefault(); choose(item); },
    }, foreign(item.path.endsWith(item.name) ? item.path : `${item.name} · ${item.path}`), " ", foreign(item.id, { class: "id" }), item.why && h("span", { class: "hint" }, ` ${item.why}`));
  }

  function move(step) {
    if (!items.length) return;
    list.children[active]?.setAttribute("aria-selected", "false");
    active = (active + step + items.length) % items.length;
    const current = list.children[active];
    current.setAttribute("aria-selected", "true");
    current.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", current.id);
  }

  function close() {
    search?.abort();
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  return { input, element: h("div", { class: "combobox" }, input, list, shownId) };
}
