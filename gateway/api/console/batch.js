// The page of a batch: rows from a paste or a file are created in parts, each with its own Idempotency-Key.

import { newKey, Problem, send } from "./api.js";
import { combobox } from "./combobox.js";
import { announce, button, download, foreign, h, labelled, link, pause, row, select, table } from "./dom.js";
import { followOperation, sendCreate } from "./follow.js";
import { lookup, parseValue } from "./form.js";
import { t } from "./i18n.js";
import { moduleHash, notice, outcomeBadge, problemPanel } from "./problem.js";
import { parseRows, toCsv, toJsonLines } from "./rows.js";

const PART = 25; // rows of one request
const SHOWN = 200; // rows in the table; the result to download has all of them
const HELD = new Set(["created", "adopted", "replayed"]);
const REFUSED = new Set(["failed", "not_started"]);
const MAX_REPEATS = 5; // of a part that was refused for now
const COLUMNS = ["ref", "name", "result", "outcome", "module", "code", "detail", "operation"];

let run = null; // goes on while other pages are shown

export async function batchPage({ main, signal }) {
  const { data: { backends } } = await send("GET", "backends", { signal });
  const show = h("div", { id: "batch-result" });
  if (!run) main.append(await inputForm(backends, signal, start));
  main.append(show);
  if (run) attach();

  function start(rows, defaults) {
    run = { rows: rows.map((item) => ({ ref: item.ref, name: item.name, item, result: "waiting" })), defaults, key: newKey(), isRunning: false };
    main.querySelector("form").remove();
    attach();
    execute(run);
  }

  function attach() {
    run.update = () => render(run, show, () => { run = null; main.replaceChildren(main.firstElementChild); batchPage({ main, signal }); });
    run.update();
  }
}

addEventListener("beforeunload", (event) => { if (run?.isRunning) event.preventDefault(); });

async function inputForm(backends, signal, start) {
  const state = { backend: backends[0]?.name };
  const text = h("textarea", { id: "rows", rows: 10, spellcheck: "false", class: "code", "aria-describedby": "rows-hint" });
  const file = h("input", { id: "file", type: "file", accept: ".csv,.jsonl,.ndjson,.tsv,.txt", onchange: async () => { if (file.files[0]) text.value = await file.files[0].text(); } });
  const places = h("div", { class: "toolbar" }), result = h("div");
  const choose = async (name) => {
    const { data: backend } = await send("GET", `backends/${name}`, { signal });
    const box = (kind, member) => combobox({ id: `batch-${member}`, label: t(`field.${member}`), load: backend.lookups.includes(kind) ? lookup(name, kind, () => scope.input.choice) : async () => [] });
    const scope = box("scopes", "scope"), parent = box("parents", "parent"), owners = box("owners", "owners");
    Object.assign(state, { backend: name, schema: backend.create_schema.properties, defaults: { scope, parent, owners } });
    places.replaceChildren(
      labelled(t("field.backend"), select("batch-backend", backends.map(({ name: key }) => [key, key]), name, choose)),
      Object.entries(state.defaults).map(([member, { element }]) => h("div", { class: "field" }, h("label", { for: `batch-${member}` }, t(`field.${member}`)), element))
        .reduce((all, element) => (all.append(element), all), document.createDocumentFragment()));
  };
  if (state.backend) await choose(state.backend);
  const submit = (event) => {
    event.preventDefault();
    const attributes = Object.entries(state.schema?.attributes?.properties ?? {});
    const integers = new Set(attributes.filter(([, { type }]) => [type].flat().includes("integer")).map(([name]) => name));
    const defaults = { backend: state.backend };
    for (const [name, { input }] of Object.entries(state.defaults)) {
      if (input.choice) defaults[name] = parseValue({ types: [state.schema[name].type].flat() }, input.choice);
    }
    try {
      const rows = parseRows(text.value, integers);
      if (rows.length) start(rows, defaults);
      else result.replaceChildren(notice("warning", t("noRows")));
    } catch (error) {
      result.replaceChildren(notice("warning", t("unreadableLine", { line: error.line ?? "?" })));
    }
  };
  return h("form", { onsubmit: submit },
    h("p", {}, t("batchHint")), h("fieldset", {}, h("legend", {}, t("defaults")), places),
    labelled(t("rows"), text), h("p", { class: "hint", id: "rows-hint" }, t("rowsHint"), " ", h("code", {}, "ref,name,scope,parent,parent_ref,owners,description,attributes.…")),
    labelled(t("file"), file), result,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, t("createAll"))));
}

/** Return the rows of the next request: parents before their children, and none whose parent is missing. */
function nextPart(rows) {
  const byRef = new Map(rows.map((entry) => [entry.ref, entry])), part = new Set();
  for (let size = -1; size !== part.size;) {
    size = part.size;
    for (const entry of rows) {
      if (part.size === PART) break;
      if (entry.result !== "waiting" || part.has(entry)) continue;
      const above = byRef.get(entry.item.parent_ref);
      if (above && REFUSED.has(above.result)) Object.assign(entry, { result: "not_started", detail: t("notStarted.parent") });
      else if (!above || part.has(above) || above.module) part.add(entry);
    }
  }
  const waiting = rows.filter(({ result }) => result === "waiting");
  return part.size ? [...part] : waiting.slice(0, PART); // these wait for each other, or for an unknown one
}

function toItem(entry, rows) {
  const { parent_ref: ref, ...item } = entry.item;
  const above = ref && rows.find((other) => other.ref === ref);
  return above?.module ? { ...item, parent: above.module.native_id } : entry.item;
}

/** Send part after part until no row waits, then follow the unknown ones. */
async function execute(current) {
  current.isRunning = true;
  current.problem = null;
  current.isStopping = false;
  let repeats = 0;
  const lookAfter = async () => {
    for (const entry of current.rows.filter(({ result, operation }) => result === "unknown" && operation)) {
      await settle(entry);
      current.update();
    }
  };
  while (!current.isStopping) {
    let part = nextPart(current.rows);
    if (!part.length) break;
    if (part.some(({ item }) => current.rows.some(({ ref, result }) => ref === item.parent_ref && result === "unknown"))) {
      await lookAfter();
      part = nextPart(current.rows);
    }
    current.update();
    const waiting = (problem) => { current.problem = problem; current.update(); };
    try {
      const body = { defaults: current.defaults, items: part.map((entry) => toItem(entry, current.rows)) };
      const { data } = await sendCreate("modules:batch", { body, headers: { "Idempotency-Key": current.key } }, waiting);
      current.problem = null;
      const isProgress = part.filter((entry, index) => record(entry, data.items[index])).length > 0;
      repeats = isProgress ? 0 : repeats + 1;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      current.problem = error;
      const marked = markRefused(part, error.errors ?? []);
      if (marked) current.problem = null;
      else if (error.retryable && error.outcome === "not_applied") repeats += 1;
      else break;
    }
    if (repeats > MAX_REPEATS) break;
    if (repeats) await pause(current.problem?.retryAfter ?? 1);
  }
  await lookAfter();
  current.isRunning = false;
  current.update();
  announce(summary(current.rows));
}

/** Record what became of a row; return false if it is to be sent again. */
function record(entry, { module, problem, operation, not_started: reason, status, outcome }) {
  if (reason && reason !== "parent") return false;
  const result = reason ? "not_started" : problem ? (outcome === "unknown" ? "unknown" : "failed") : status === 200 ? "adopted" : "created";
  Object.assign(entry, { result, outcome, module, operation, code: problem?.code, detail: reason ? t(`notStarted.${reason}`) : problem?.detail });
  return true;
}

function markRefused(part, errors) {
  let marked = 0;
  for (const { pointer = "", code, detail } of errors) {
    const entry = part[Number(pointer.match(/^\/items\/(\d+)/)?.[1] ?? NaN)];
    if (!entry) continue;
    const details = entry.result === "failed" ? `${entry.detail} ${detail}` : detail;
    Object.assign(entry, { result: "failed", outcome: "not_applied", code, detail: details });
    marked += 1;
  }
  return marked;
}

async function settle(entry) {
  try {
    const operation = await followOperation(entry.operation, () => {});
    const result = { succeeded: "created", ambiguous: "ambiguous" }[operation.state] ?? "failed";
    Object.assign(entry, { result, outcome: operation.outcome, module: operation.module, code: operation.error?.code ?? null, detail: t(`settled.${operation.state}`) });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    entry.detail = error.detail;
  }
}

function counts(rows) {
  const numbers = {};
  for (const { result } of rows) numbers[result] = (numbers[result] ?? 0) + 1;
  return Object.entries(numbers);
}

const summary = (rows) => counts(rows).map(([result, number]) => `${t(`result.${result}`)}: ${number}`).join(" · ");

function render(current, show, restart) {
  const { rows, isRunning, problem } = current;
  const done = rows.filter(({ result }) => result !== "waiting").length;
  const isResumable = !isRunning && rows.some(({ result }) => !HELD.has(result) && result !== "ambiguous");
  const resume = () => {
    rows.forEach((entry) => { if (!HELD.has(entry.result) && entry.result !== "ambiguous") Object.assign(entry, { result: "waiting", outcome: null, code: null, detail: null }); });
    execute(current);
  };
  const results = () => rows.map((entry) => ({ ...entry, item: undefined, module: entry.module?.id ?? null }));
  const order = rows.toSorted((left, right) => rank(left) - rank(right)).slice(0, SHOWN);
  const labels = [t("row"), t("field.name"), t("result"), t("changed"), t("detail")];
  show.replaceChildren(
    h("h2", { id: "progress-title" }, isRunning ? t("running") : t("finished")),
    h("progress", { max: rows.length, value: done, "aria-labelledby": "progress-title" }),
    h("p", { class: "count", id: "batch-summary" }, `${done} / ${rows.length} · ${summary(rows)}`),
    ...[problem && problemPanel(problem)].filter(Boolean),
    h("div", { class: "actions" },
      isRunning && button(t("stop"), () => { current.isStopping = true; }),
      isResumable && button(t("resume"), resume, { class: "primary" }),
      !isRunning && button(t("downloadCsv"), () => download("batch-result.csv", toCsv(COLUMNS, results()), "text/csv")),
      !isRunning && button(t("downloadJson"), () => download("batch-result.jsonl", toJsonLines(results()), "application/jsonl")),
      !isRunning && button(t("newBatch"), restart)),
    table(t("rows"), labels, order.map((entry) => row(labels, [
      foreign(entry.ref), entry.module ? link(moduleHash(entry.module.id), foreign(entry.module.name)) : foreign(entry.name), t(`result.${entry.result}`),
      entry.outcome ? outcomeBadge(entry.outcome) : "–", [entry.detail && foreign(entry.detail), entry.operation && entry.result === "ambiguous" && link(`#/operations/${entry.operation}`, ` ${t("openOperation")}`)]]))));
  if (rows.length > SHOWN) show.append(h("p", { class: "hint" }, t("shownRows", { shown: SHOWN, all: rows.length })));
}

const rank = ({ result }) => (HELD.has(result) ? 2 : result === "waiting" ? 1 : 0);
