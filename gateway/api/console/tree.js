// A tree of which only the visible rows are in the document, so that ten thousand are as fast as ten.

import { foreign, h } from "./dom.js";

const ROW = 36; // pixels, as in the style sheet
const MARGIN = 6; // rows above and below the visible ones

/** Shows nodes `{key, label, note, children}`; `onselect` gets the chosen node. */
export class Tree {
  constructor({ label, onselect }) {
    this.onselect = onselect;
    this.closed = new Set();
    this.rows = [];
    this.active = 0;
    this.selected = null;
    this.space = h("div", { role: "none", class: "space" });
    this.element = h("div", {
      role: "tree", tabindex: "0", class: "tree", "aria-label": label,
      onscroll: () => this.render(), onkeydown: (event) => this.onkeydown(event), onclick: (event) => this.onclick(event),
    }, this.space);
    new ResizeObserver(() => this.render()).observe(this.element);
  }

  /** Show these roots; with a predicate only the nodes that match it, and their ancestors. */
  show(roots, matches = null) {
    const key = this.rows[this.active]?.node.key;
    const add = (nodes, level) => nodes.forEach((node, index) => {
      const position = this.rows.length;
      const isOpen = matches !== null || !this.closed.has(node.key);
      this.rows.push({ node, level, index: index + 1, size: nodes.length, isOpen });
      if (isOpen) add(node.children, level + 1);
      if (matches && this.rows.length === position + 1 && !matches(node)) this.rows.pop();
    });
    this.shown = [roots, matches];
    this.rows = [];
    add(roots, 1);
    this.active = Math.max(0, this.rows.findIndex((row) => row.node.key === key));
    this.space.style.height = `${this.rows.length * ROW}px`;
    this.element.hidden = !this.rows.length;
    this.render();
  }

  render() {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - MARGIN);
    const last = Math.min(this.rows.length, first + Math.ceil(this.element.clientHeight / ROW) + 2 * MARGIN);
    const isActiveShown = this.active >= first && this.active < last;
    this.space.replaceChildren(...this.rows.slice(first, last).map((row, offset) => this.item(row, first + offset)));
    if (isActiveShown) this.element.setAttribute("aria-activedescendant", `tree-${this.active}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  item({ node, level, index, size, isOpen }, position) {
    const isBranch = node.children.length > 0;
    const item = h("div", {
      role: "treeitem", id: `tree-${position}`, "data-position": position,
      class: [position === this.active && "active", node.children.length || node.isGroup ? "branch" : ""].join(" "),
      "aria-level": level, "aria-posinset": index, "aria-setsize": size,
      "aria-expanded": isBranch ? String(isOpen) : null, "aria-selected": String(node.key === this.selected),
    }, h("span", { class: "twisty", "aria-hidden": "true" }, isBranch ? (isOpen ? "▾" : "▸") : ""),
    foreign(node.label), node.note && h("span", { class: "note" }, node.note));
    item.style.top = `${position * ROW}px`;
    item.style.paddingLeft = `${level * 18 - 10}px`;
    return item;
  }

  select(key) {
    this.selected = key;
    const position = this.rows.findIndex((row) => row.node.key === key);
    if (position >= 0) this.activate(position);
    else this.render();
  }

  activate(position) {
    if (!this.rows.length) return;
    this.active = Math.min(Math.max(position, 0), this.rows.length - 1);
    const top = this.active * ROW, box = this.element;
    if (top < box.scrollTop) box.scrollTop = top;
    if (top + ROW > box.scrollTop + box.clientHeight) box.scrollTop = top + ROW - box.clientHeight;
    this.render();
  }

  toggle(position, isOpen) {
    const { node } = this.rows[position];
    if (isOpen) this.closed.delete(node.key);
    else this.closed.add(node.key);
    this.active = position;
    this.show(...this.shown);
  }

  onclick(event) {
    const item = event.target.closest("[role=treeitem]");
    if (!item) return;
    const position = Number(item.dataset.position), row = this.rows[position];
    this.activate(position);
    if (row.node.isGroup || event.target.classList.contains("twisty")) this.toggle(position, !row.isOpen);
    else this.choose(row.node);
  }

  choose(node) {
    this.selected = node.key;
    this.render();
    this.onselect(node);
  }

  onkeydown(event) {
    const row = this.rows[this.active], page = Math.floor(this.element.clientHeight / ROW);
    const parent = () => this.rows.findLastIndex((other, index) => index < this.active && other.level < row.level);
    const isBranch = row?.node.children.length > 0;
    const actions = {
      ArrowDown: () => this.activate(this.active + 1),
      ArrowUp: () => this.activate(this.active - 1),
      PageDown: () => this.activate(this.active + page),
      PageUp: () => this.activate(this.active - page),
      Home: () => this.activate(0),
      End: () => this.activate(this.rows.length - 1),
      ArrowRight: () => (isBranch && !row.isOpen ? this.toggle(this.active, true) : this.activate(this.active + 1)),
      ArrowLeft: () => (isBranch && row.isOpen ? this.toggle(this.active, false) : row.level > 1 && this.activate(parent())),
      Enter: () => (row.node.isGroup ? this.toggle(this.active, !row.isOpen) : this.choose(row.node)),
    };
    const action = actions[event.key === " " ? "Enter" : event.key];
    if (!action || !row) return;
    event.preventDefault();
    action();
  }
}
