// The pages of operations: a list with filters, and one with its evidence, followed until it is settled.

import { isLive, operationPath, pages, Problem, send } from "./api.js";
import { announce, badge, button, facts, foreign, h, labelled, link, row, select, table, time } from "./dom.js";
import { followOperation } from "./follow.js";
import { fieldLabel } from "./form.js";
import { t } from "./i18n.js";
import { moduleHash, notice, outcomeBadge, plain, problemPanel, retryButton } from "./problem.js";

const STATES = ["sending", "reconciling", "ambiguous", "succeeded", "not_applied", "refused"];

const stateBadge = (state) => badge(`state-${state}`, t(`state.${state}`));

/** Return what an operation says while it is followed. */
export function operationFacts(operation) {
  return facts([
    [t("state"), [stateBadge(operation.state), " ", t(`state.${operation.state}.meaning`)]],
    [t("changed"), [outcomeBadge(operation.outcome), " ", t(`changed.${operation.outcome}`)]],
    [t("settlesAt"), isLive(operation) && operation.settles_at && time(operation.settles_at)],
  ]);
}

export async function operationsPage({ main, id, query, signal }) {
  if (id) return operationPage({ main, id, signal });
  const filters = { state: query.get("state") ?? "", backend: query.get("backend") ?? "", scope: query.get("scope") ?? "" };
  const go = (change) => {
    const given = Object.entries({ ...filters, ...change }).filter(([, value]) => value);
    location.hash = `#/operations?${new URLSearchParams(given)}`;
  };
  const { data: { backends } } = await send("GET", "backends", { signal });
  const any = ["", t("any")];
  const columns = [t("field.name"), t("state"), t("field.backend"), t("field.scope"), t("claimedAt")];
  const body = h("tbody"), more = h("div", { class: "actions" });
  const content = table(t("nav.operations"), columns, []);
  content.tBodies[0].replaceWith(body);
  main.append(
    h("div", { class: "toolbar" },
      labelled(t("state"), select("state", [any, ["ambiguous,reconciling", t("needsAttention")], ...STATES.map((state) => [state, t(`state.${state}`)])], filters.state, (state) => go({ state }))),
      labelled(t("field.backend"), select("backend", [any, ...backends.map(({ name }) => [name, name])], filters.backend, (backend) => go({ backend }))),
      labelled(t("field.scope"), h("input", { id: "scope", type: "text", value: filters.scope, onchange: (event) => go({ scope: event.target.value.trim() }) })),
      button(t("refresh"), () => window.dispatchEvent(new HashChangeEvent("hashchange")))),
    content, more);
  const load = async (token) => {
    const { data } = await send("GET", "operations", { query: { ...filters, page_token: token }, signal });
    body.append(...data.operations.map((operation) => row(columns, [
      link(`#/operations/${operation.id}`, foreign(operation.request.name)), stateBadge(operation.state), operation.backend,
      foreign(operation.scope, { class: "id" }), time(operation.claimed_at)])));
    const next = data.next_page_token;
    more.replaceChildren(...(next ? [button(t("more"), () => load(next))] : []));
    if (!body.children.length) content.replaceWith(h("p", { class: "empty" }, t("noOperations")));
  };
  await load();
}

async function operationPage({ main, id, signal }) {
  const content = h("div");
  main.append(h("p", {}, link("#/operations", `← ${t("nav.operations")}`)), content);
  let shownState = null;
  const show = (operation) => {
    if (shownState && shownState !== operation.state) announce(t(`state.${operation.state}.meaning`));
    const isSame = shownState === operation.state && content.querySelectorAll(".evidence li").length === operation.evidence.length;
    if (!isSame) content.replaceChildren(...operationDetails(operation, signal, show)); // a form that is filled in stays
    shownState = operation.state;
  };
  await followOperation(id, show, signal);
}

function operationDetails(operation, signal, show) {
  const { error, request } = operation;
  const isPastWindow = !operation.settles_at || new Date(operation.settles_at) <= new Date();
  return [
    h("h2", {}, foreign(request.name)),
    isLive(operation) && notice("busy", t("following")),
    h("section", { class: "panel" }, operationFacts(operation), facts([
      [t("field.module"), operation.module && link(moduleHash(operation.module.id), foreign(operation.module.id))],
      [t("error"), error && [h("code", {}, error.code), " ", foreign(error.detail)]],
      [t("existing"), error?.existing && link(moduleHash(error.existing), foreign(error.existing))],
    ])),
    h("h3", {}, t("evidence")),
    operation.evidence.length === 0 ? h("p", { class: "empty" }, t("noEvidence")) : h("ol", { class: "evidence" }, operation.evidence.map((entry) => h("li", {},
      time(entry.at), " ", h("strong", {}, foreign(entry.what)),
      facts([[t("hits"), entry.hits && foreign(entry.hits.join(", ") || t("none"))], [t("confidence"), entry.confidence],
        [t("reason"), entry.reason && foreign(entry.reason)], [t("by"), entry.by && foreign([entry.by, entry.user].filter(Boolean).join(" · "))]])))),
    (operation.state === "ambiguous" || (operation.state === "reconciling" && isPastWindow)) && resolveForm(operation, signal, show),
    h("h3", {}, t("request")),
    h("section", { class: "panel" }, facts([
      [t("field.backend"), operation.backend],
      ...Object.entries(request).map(([name, value]) => [fieldLabel([name]), value && plain(value) !== "{}" && foreign(plain(value))]),
      [t("claimedAt"), time(operation.claimed_at)], [t("field.updated_at"), time(operation.updated_at)],
      [t("caller"), operation.caller && foreign([operation.caller, operation.user].filter(Boolean).join(" · "))],
      [t("requestId"), h("code", {}, foreign(operation.request_id))], [t("operation"), h("code", {}, operation.id)],
    ])),
  ].filter(Boolean);
}

/** Return the form of a person's verdict; the candidates are the modules of that name. */
function resolveForm(operation, signal, show) {
  const candidates = h("select", { id: "candidate" }, h("option", { value: "" }, t("noCandidate")));
  const reason = h("textarea", { id: "reason", rows: 2, "aria-required": "true" });
  const result = h("div");
  const choice = (value, checked) => h("div", { class: "check" },
    h("input", { type: "radio", name: "verdict", id: `verdict-${value}`, value, checked }), h("label", { for: `verdict-${value}` }, t(`verdict.${value}`)));
  const form = h("form", { class: "panel", novalidate: true, onsubmit: submit },
    h("h3", {}, t("resolve")), h("p", {}, t("resolveHint")),
    h("fieldset", {}, h("legend", {}, t("verdict")), choice("applied", true), choice("not_applied", false)),
    labelled(t("candidate"), candidates), labelled(t("reason"), reason), result,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, t("resolve"))));
  loadCandidates();
  return form;

  async function loadCandidates() {
    const { name, parent } = operation.request;
    try {
      const query = { backend: operation.backend, scope: operation.scope, name, parent };
      for await (const page of pages("modules", query, "modules", signal)) {
        candidates.append(...page.map((module) => h("option", { value: module.id }, `${module.id} · ${plain(module.owners)} · ${plain(module.created_at)}`)));
      }
      if (candidates.options.length === 2) candidates.selectedIndex = 1;
    } catch (error) {
      if (error instanceof Problem) result.replaceChildren(problemPanel(error, { isWrite: false, actions: [retryButton(loadCandidates)] }));
    }
  }

  async function submit(event) {
    event.preventDefault();
    const verdict = form.elements.verdict.value;
    const body = { verdict, reason: reason.value, ...(verdict === "applied" && { module: candidates.value }) };
    try {
      const { data } = await send("POST", `${operationPath(operation.id)}:resolve`, { body, signal });
      show(data);
      announce(t("resolved"));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      result.replaceChildren(problemPanel(error));
    }
  }
}
