// Shows a failure: what happened, whether anything was changed, and what to do next.

import { badge, button, facts, foreign, h, link } from "./dom.js";
import { has, t } from "./i18n.js";

/** The advice for a problem, by its code, else by its outcome. */
function advice(problem) {
  if (has(`next.${problem.code}`)) return t(`next.${problem.code}`);
  if (problem.outcome === "unknown") return t("next.unknown");
  if (!problem.retryable) return t(problem.status >= 500 ? "next.operator" : "next.correct");
  return problem.retryAfter ? t("next.retry_after", { seconds: problem.retryAfter }) : t("next.retry");
}

export const outcomeBadge = (outcome) => badge(`outcome-${outcome}`, t(`outcome.${outcome}`));

/** Return the panel of a problem; `errors` are those that no field shows, `actions` are buttons. */
export function problemPanel(problem, { errors = problem.errors ?? [], actions = [], isWrite = true } = {}) {
  if (!problem.code) console.error(problem); // a fault of this page
  const upstream = problem.upstream;
  return h("section", { class: "panel problem", role: "alert" },
    h("h3", {}, problem.title ?? t("title.page_fault")),
    h("p", {}, foreign(problem.detail ?? String(problem))),
    errors.length > 0 && h("ul", {}, errors.map((error) =>
      h("li", {}, h("code", {}, error.pointer ?? error.parameter), " ", foreign(error.detail)))),
    facts([
      [t("changed"), isWrite && problem.outcome && [outcomeBadge(problem.outcome), " ", t(`changed.${problem.outcome}`)]],
      [t("next"), advice(problem)],
      [t("existing"), problem.existing && link(moduleHash(problem.existing), foreign(problem.existing))],
    ]),
    problem.diff && differences(Object.entries(problem.diff).map(([pointer, { wanted, found }]) => [pointer, wanted, found]), t("wanted"), t("present")),
    problem.permission && h("details", {}, h("summary", {}, t("permission")), h("pre", {}, JSON.stringify(problem.permission, null, 1))),
    h("p", { class: "hint" }, h("code", {}, problem.code), problem.request_id && [" · ", t("requestId"), " ", h("code", {}, foreign(problem.request_id))],
      upstream && [" · ", upstream.backend, " ", h("code", {}, foreign([upstream.status, upstream.code, upstream.request_id].filter(Boolean).join(" ")))]),
    actions.length > 0 && h("div", { class: "actions" }, actions));
}

/** Return a table of [field, left, right]. */
export function differences(rows, left, right) {
  return h("table", { class: "plain" },
    h("thead", {}, h("tr", {}, [t("field"), left, right].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map(([name, ...values]) =>
      h("tr", {}, h("th", { scope: "row" }, name), values.map((value) => h("td", {}, foreign(plain(value))))))));
}

/** Return a value as text. */
export function plain(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (Array.isArray(value)) return value.map((item) => item?.display_name ?? item?.name ?? item?.id ?? item).join(", ") || "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The address of a module's page; its connection and scope are read from the module itself. */
export const moduleHash = (id) => `#/modules?module=${encodeURIComponent(id)}`;

/** Return a panel for what went well, or for what is under way. */
export function notice(kind, title, ...content) {
  return h("section", { class: `panel ${kind}`, role: "status" }, h("h3", {}, title), content);
}

export const retryButton = (action) => button(t("retry"), action);
