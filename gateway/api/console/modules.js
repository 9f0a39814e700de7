// The page of modules: the tree of a scope, and beside it a module, a create or a change.

import { modulePath, newKey, pages, Problem, send } from "./api.js";
import { combobox } from "./combobox.js";
import { announce, ask, button, facts, foreign, h, labelled, pause, select, time } from "./dom.js";
import { followOperation, sendCreate, watchModule } from "./follow.js";
import { createFields, fieldLabel, Form, lookup, updateFields } from "./form.js";
import { t } from "./i18n.js";
import { operationFacts } from "./operations.js";
import { differences, notice, outcomeBadge, plain, problemPanel, retryButton } from "./problem.js";
import { Tree } from "./tree.js";

const WINDOW_MARGIN = 40; // seconds beyond a connection's settle window in which a lost write may take effect

export async function modulesPage({ main, query, signal }) {
  const { data: { backends } } = await send("GET", "backends", { signal });
  const wanted = query.get("module") ?? "", own = wanted.split(".")[0];
  const name = [query.get("backend"), own].find((key) => backends.some((backend) => backend.name === key)) ?? backends[0]?.name;
  if (!name) {
    main.append(h("p", { class: "empty" }, t("noConnections")));
    return;
  }
  const { data: backend } = await send("GET", `backends/${name}`, { signal });
  let module = null, failure = null;
  if (wanted) {
    try {
      ({ data: module } = await send("GET", modulePath(wanted), { signal }));
    } catch (error) {
      failure = error;
    }
  }
  const scope = await initialScope(backend, module?.scope ?? query.get("scope"), signal);
  const view = new ModulesView({ main, backends, backend, scope, signal });
  if (failure) view.side.replaceChildren(problemPanel(failure, { isWrite: false }));
  await view.load(module);
}

/** Return {id, name} of the scope to show: the wanted one, else the first that can be used. */
async function initialScope(backend, wanted, signal) {
  if (!backend.lookups.includes("scopes")) return { id: wanted ?? "", name: wanted ?? "" };
  let items = [];
  try {
    items = await lookup(backend.name, "scopes")("", signal);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  const item = wanted ? items.find(({ id }) => id === wanted) : items.find(({ usable }) => usable);
  return item ?? { id: wanted ?? "", name: wanted ?? "" };
}

class ModulesView {
  constructor({ main, backends, backend, scope, signal }) {
    Object.assign(this, { backend, scope, signal });
    this.modules = new Map();
    this.groups = [];
    const goTo = (name, id) => { location.hash = `#/modules?${new URLSearchParams({ backend: name, ...(id && { scope: id }) })}`; };
    const connection = select("connection", backends.map(({ name, title }) => [name, `${name} · ${title}`]), backend.name, (value) => goTo(value));
    const box = combobox({ id: "scope", label: t("field.scope"), load: lookup(backend.name, "scopes"), value: scope.id, name: scope.name,
      onchoose: (id) => { if (id !== this.scope.id) goTo(backend.name, id); } });
    this.search = h("input", { id: "search", type: "search", autocomplete: "off", placeholder: t("searchHint"), oninput: () => this.showTree() });
    this.tree = new Tree({ label: t("nav.modules"), onselect: (node) => node.module && this.showModule(node.module, true) });
    this.count = h("p", { class: "count", role: "status" });
    this.side = h("div", { class: "side" }, h("p", { class: "empty" }, t("chooseModule")));
    const isReadOnly = backend.mode === "read_only";
    main.append(
      h("div", { class: "toolbar" }, labelled(t("field.backend"), connection), h("div", { class: "field" }, h("label", { for: "scope" }, t("field.scope")), box.element),
        button(t("create"), () => this.showCreate(), { class: "primary", id: "create", disabled: isReadOnly }),
        isReadOnly && h("p", { class: "hint" }, t("mode.read_only.meaning"))),
      h("div", { class: "split" }, h("div", { class: "list" }, labelled(t("search"), this.search), this.count, this.tree.element), this.side));
  }

  /** Read all modules of the scope page by page, and show each page as it arrives. */
  async load(module = null) {
    if (!this.scope.id) return this.count.replaceChildren(t("chooseScope"));
    this.modules.clear();
    this.groups = [];
    const query = { backend: this.backend.name, scope: this.scope.id };
    this.count.replaceChildren(t("loading"));
    try {
      if (this.backend.create_schema.required.includes("parent") && this.backend.lookups.includes("parents")) {
        const path = `backends/${this.backend.name}/scopes/${encodeURIComponent(this.scope.id)}/parents`;
        for await (const items of pages(path, {}, "items", this.signal)) this.groups.push(...items);
      }
      if (module) this.showModule(module);
      for await (const page of pages("modules", query, "modules", this.signal)) {
        page.forEach((item) => this.modules.set(item.id, item));
        this.showTree();
      }
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.count.replaceChildren(problemPanel(error, { isWrite: false, actions: [retryButton(() => this.load(module))] }));
      return;
    }
    this.tree.select(module?.id ?? null);
  }

  showTree() {
    const text = this.search.value.trim().toLowerCase();
    const matches = ({ module, label }) => [label, module?.native_id, ...(module?.owners ?? []).map(({ id }) => id)].some((value) => value?.toLowerCase().includes(text));
    this.tree.show(buildTree([...this.modules.values()], this.groups), text ? matches : null);
    const found = text ? [...this.modules.values()].filter((module) => matches({ module, label: module.name })).length : this.modules.size;
    this.count.replaceChildren(text ? t("countFound", { found, all: this.modules.size }) : t("count", { all: this.modules.size }));
  }

  /** Show a part beside the tree, and move the focus there if a person chose it. */
  showSide(title, focus, ...content) {
    const heading = h("h2", { tabindex: "-1" }, title);
    this.side.replaceChildren(heading, ...content.flat());
    if (!focus) return;
    heading.focus({ preventScroll: true });
    if (heading.getBoundingClientRect().top > innerHeight * 0.7) heading.scrollIntoView();
  }

  showModule(module, focus = false, ...above) {
    const query = new URLSearchParams({ backend: module.backend, scope: module.scope, module: module.id });
    history.replaceState(null, "", `#/modules?${query}`);
    const isReadOnly = this.backend.mode === "read_only";
    const absent = (name, value) => (module.unavailable.includes(name) ? h("span", { class: "hint" }, t("unavailable")) : value);
    const group = this.groups.find(({ id }) => id === module.parent) ?? [...this.modules.values()].find(({ native_id }) => native_id === module.parent);
    this.showSide(foreign(module.name), focus, above,
      h("div", { class: "actions" },
        button(t("change"), () => this.showChange(module), { id: "change", class: "primary", disabled: isReadOnly || module.built_in }),
        button(t("delete"), () => this.remove(module), { id: "delete", disabled: isReadOnly || module.built_in })),
      facts([
        [t("field.id"), h("code", {}, foreign(module.id))],
        [t("field.parent"), module.parent && [group && foreign(group.name), " ", foreign(module.parent, { class: "id" })]],
        [t("field.owners"), foreign(plain(module.owners))],
        [t("field.description"), absent("description", module.description && foreign(module.description))],
        [t("field.created_at"), absent("created_at", module.created_at && time(module.created_at))],
        [t("field.updated_at"), absent("updated_at", module.updated_at && time(module.updated_at))],
        ...Object.entries(module.attributes).map(([name, value]) => [name, foreign(plain(value))]),
      ]));
  }

  showCreate() {
    const value = ([name]) => (name === "scope" && this.scope.id ? [this.scope] : null);
    const form = new Form({ backend: this.backend, fields: createFields(this.backend), value, id: "new" });
    const keys = new Map(); // by the text of the create: the same create keeps its key
    const result = h("div");
    const check = () => this.attempt(form, result, async () => {
      const { data } = await send("POST", "modules", { query: { validate_only: "true" }, body: { backend: this.backend.name, ...form.read() }, signal: this.signal });
      const failed = data.checks.filter(({ passed }) => !passed);
      result.replaceChildren(notice(failed.length ? "warning" : "success", t(`would.${data.would}`), failed.map(({ detail }) => h("p", {}, foreign(detail)))));
    });
    const submit = () => this.attempt(form, result, async () => {
      const body = { backend: this.backend.name, ...form.read() }, text = JSON.stringify(body);
      if (!keys.has(text)) keys.set(text, newKey());
      const headers = { "Idempotency-Key": keys.get(text) };
      const waiting = (problem) => result.replaceChildren(problemPanel(problem), notice("busy", t("repeating")));
      const { data } = await sendCreate("modules", { body, headers, signal: this.signal }, waiting);
      this.put(data, t("created", { name: data.name }));
    });
    this.showForm(t("createTitle", { title: this.backend.title }), form, result, submit, t("create"), button(t("check"), check, { id: "check" }));
  }

  showChange(module, edited = new Map()) {
    const value = ([name, key]) => (key ? module.attributes[key] : module[name]);
    const form = new Form({ backend: this.backend, fields: updateFields(this.backend), value, id: "edit" });
    form.scope = module.scope;
    for (const control of form.controls) {
      const text = edited.get(control.path.join("."));
      if (text === undefined) continue;
      control.input.value = control.input.choice = text;
      if (control.clear) control.clear.checked = true;
    }
    const result = h("div");
    let body = {};
    const submit = () => this.attempt(form, result, async () => {
      body = form.read({ changedOnly: true });
      if (!Object.keys(body).length) return result.replaceChildren(notice("warning", t("nothingToChange")));
      const { data } = await send("PATCH", modulePath(module.id), { body, headers: ifMatch(module), signal: this.signal });
      this.put(data, t("changedNotice", { name: data.name }));
    }, {
      precondition_failed: (problem) => this.showOtherChange(problem, module, form, result),
      unknown: (problem) => this.watch(problem, module, result, (now) => now !== null && isApplied(now, body), (now) => this.put(now, t("changedNotice", { name: now.name }))),
    });
    this.showForm(t("changeTitle", { name: module.name }), form, result, submit, t("save"), button(t("cancel"), () => this.showModule(module, true)));
  }

  showForm(title, form, result, submit, label, ...others) {
    const element = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(); } },
      form.element, result, h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, label), others));
    this.showSide(title, false, element);
    form.controls.find(({ input }) => !input.value)?.input.focus();
    element.scrollIntoView({ block: "nearest" });
  }

  /** Run a request of a form, and show its errors at their fields. `handlers` replace what is done for a code. */
  async attempt(form, result, work, handlers = {}) {
    const buttons = result.parentElement?.querySelectorAll(".actions button") ?? [];
    buttons.forEach((element) => { element.disabled = true; });
    result.replaceChildren(notice("busy", t("sending")));
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (handlers[error.code]) await handlers[error.code](error);
      else if (error.operation && error.outcome === "unknown") await this.follow(error, result);
      else if (error.outcome === "unknown" && handlers.unknown) await handlers.unknown(error);
      else {
        const errors = form?.showErrors(error.errors ?? []) ?? error.errors ?? [];
        result.replaceChildren(problemPanel(error, { errors }));
      }
    } finally {
      buttons.forEach((element) => { element.disabled = false; });
    }
  }

  /** Follow the operation of a create whose outcome is unknown until it is settled. */
  async follow(problem, result) {
    const state = h("div");
    result.replaceChildren(problemPanel(problem), notice("busy", t("following"), state));
    const operation = await followOperation(problem.operation, (current) => state.replaceChildren(operationFacts(current)), this.signal);
    if (operation.state === "succeeded" && operation.module) return this.put(operation.module, t("foundCreated", { name: operation.module.name }));
    const isOpen = operation.state === "ambiguous";
    result.replaceChildren(notice(isOpen ? "warning" : "problem", t(`settled.${operation.state}`),
      h("p", {}, t(`settled.${operation.state}.next`)), operationFacts(operation),
      h("p", {}, h("a", { href: `#/operations/${operation.id}` }, t("openOperation")))));
    announce(t(`settled.${operation.state}`));
  }

  /** Read a module until a change of unknown outcome shows, or cannot take effect any more. */
  async watch(problem, module, result, isDone, done) {
    let latest = module;
    result.replaceChildren(problemPanel(problem), notice("busy", t("watching")));
    const seconds = this.backend.settle_seconds + WINDOW_MARGIN;
    const isSeen = await watchModule(module.id, (now) => { latest = now; return isDone(now); }, seconds, this.signal);
    if (isSeen) return done(latest);
    result.replaceChildren(notice("warning", t("notSeen"), h("p", {}, t("notSeenNext"))));
  }

  /** Show what another change did, and offer to go on from there with one's own values. */
  async showOtherChange(problem, module, form, result) {
    const { data: now } = await send("GET", modulePath(module.id), { signal: this.signal });
    const rows = changedFields(module, now);
    const edited = new Map(form.controls.filter((control) => form.isChanged(control)).map((control) => [control.path.join("."), form.text(control)]));
    this.modules.set(now.id, now);
    this.showTree();
    const reload = button(t("reload"), () => { this.showChange(now, edited); announce(t("reloaded")); }, { class: "primary", id: "reload" });
    result.replaceChildren(problemPanel(problem, { actions: [reload] }), differences(rows, t("before"), t("now")));
    reload.focus();
  }

  async remove(module) {
    const cascade = h("input", { type: "checkbox", id: "cascade" });
    const content = [h("p", {}, t("deleteQuestion"), " ", foreign(module.name, { class: "strong" })),
      module.has_children && h("div", { class: "check" }, cascade, h("label", { for: "cascade" }, t("cascade")))];
    if (!(await ask(t("delete"), content, t("delete"), { danger: true }))) return;
    const result = h("div");
    this.side.append(result);
    const gone = () => {
      announce(t("deleted", { name: module.name }));
      this.showSide(t("deletedTitle"), true, notice("success", t("deleted", { name: module.name }), h("p", {}, outcomeBadge("applied"))));
      history.replaceState(null, "", `#/modules?${new URLSearchParams({ backend: module.backend, scope: module.scope })}`);
      return this.load();
    };
    const query = cascade.checked ? { cascade: "true" } : {};
    await this.attempt(null, result, async () => {
      await send("DELETE", modulePath(module.id), { query, headers: ifMatch(module), signal: this.signal });
      await gone();
    }, {
      precondition_failed: async (problem) => {
        const { data: now } = await send("GET", modulePath(module.id), { signal: this.signal });
        const actions = [button(t("reload"), () => this.showModule(now, true), { class: "primary", id: "reload" })];
        result.replaceChildren(problemPanel(problem, { actions }), differences(changedFields(module, now), t("before"), t("now")));
      },
      unknown: (problem) => this.watch(problem, module, result, (now) => now === null, gone),
    });
  }

  /** Show a module as it is after a write. */
  put(module, text) {
    announce(text);
    if (module.scope === this.scope.id) {
      this.modules.set(module.id, module);
      this.showTree();
      this.tree.select(module.id);
    }
    this.showModule(module, true, notice("success", text, h("p", {}, outcomeBadge("applied"))));
  }
}

const ifMatch = (module) => (module.etag ? { "If-Match": `"${module.etag}"` } : {});

function changedFields(before, now) {
  const pairs = [...["name", "parent", "owners", "description"].map((name) => [fieldLabel([name]), before[name], now[name]]),
    ...Object.keys({ ...before.attributes, ...now.attributes }).map((name) => [name, before.attributes[name], now.attributes[name]])];
  return pairs.filter(([, left, right]) => plain(left) !== plain(right));
}

/** Return whether a module has the values of a change, as far as it can be read. */
function isApplied(module, { attributes = {}, ...patch }) {
  const same = (left, right) => (Array.isArray(right) ? left.map(({ id }) => id).join() === right.join() : plain(left) === plain(right));
  const readable = Object.entries(patch).filter(([name]) => !module.unavailable.includes(name));
  const isReadable = readable.length + Object.keys(attributes).length > 0;
  return isReadable && readable.every(([name, value]) => same(module[name], value)) && Object.entries(attributes).every(([name, value]) => same(module.attributes[name], value));
}

/** Return the roots: the parents that are no modules themselves with their modules, or modules below modules. */
function buildTree(modules, groups) {
  const roots = groups.map((group) => ({ key: `group ${group.id}`, label: group.name, note: group.why ?? "", children: [], isGroup: true }));
  const groupNodes = new Map(groups.map((group, index) => [group.id, roots[index]]));
  const nodes = new Map(modules.map((module) => [module.native_id, { key: module.id, label: module.name, module, children: [], note: plain(module.owners).replace("–", "") }]));
  for (const node of nodes.values()) {
    const { parent, depth } = node.module;
    if (parent !== null && !(depth > 1) && !groupNodes.has(parent)) {
      groupNodes.set(parent, { key: `group ${parent}`, label: parent, note: "", children: [], isGroup: true });
      roots.push(groupNodes.get(parent));
    }
    const above = parent === null ? null : depth > 1 ? nodes.get(parent) : groupNodes.get(parent);
    (above?.children ?? roots).push(node);
  }
  return roots;
}
