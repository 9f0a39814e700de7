// The page of changes: the newest writes, and new ones as they happen.

import { Problem, send } from "./api.js";
import { badge, announce, facts, foreign, h, labelled, link, pause, select, time } from "./dom.js";
import { fieldLabel } from "./form.js";
import { t } from "./i18n.js";
import { moduleHash, outcomeBadge, plain, problemPanel } from "./problem.js";

const SHOWN = 300; // entries; older ones leave the list
const FIRST = 100; // entries shown at first

export async function changesPage({ main, query, signal }) {
  const backend = query.get("backend") ?? "", scope = query.get("scope") ?? "";
  const go = (change) => {
    const given = Object.entries({ backend, scope, ...change }).filter(([, value]) => value);
    location.hash = `#/changes?${new URLSearchParams(given)}`;
  };
  const { data: { backends } } = await send("GET", "backends", { signal });
  const state = h("p", { class: "count", role: "status" }), list = h("ol", { class: "changes" });
  main.append(
    h("div", { class: "toolbar" },
      labelled(t("field.backend"), select("backend", [["", t("any")], ...backends.map(({ name }) => [name, name])], backend, (value) => go({ backend: value }))),
      labelled(t("field.scope"), h("input", { id: "scope", type: "text", value: scope, onchange: (event) => go({ scope: event.target.value.trim() }) }))),
    state, list);
  const filter = { backend, scope };
  let after = Math.max(0, (await findEnd(filter, signal)) - FIRST), isFirst = true;
  for (;;) {
    try {
      const headers = isFirst ? {} : { Prefer: "wait=25" };
      state.replaceChildren(h("span", { class: "live" }), t("live"));
      const { data } = await send("GET", "changes", { query: { ...filter, after: String(after), page_size: 200 }, headers, signal });
      after = data.next_after;
      list.prepend(...data.changes.map(entry).reverse());
      while (list.children.length > SHOWN) list.lastChild.remove();
      if (data.changes.length && !isFirst) announce(t("newChanges", { number: data.changes.length }));
      isFirst &&= data.changes.length === 200;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      state.replaceChildren(problemPanel(error, { isWrite: false }));
      if (!error.retryable) return;
      await pause(error.retryAfter ?? 3, signal);
    }
  }
}

/** Return a `seq` after which there are no entries, by bisection: the API lists the oldest first. */
async function findEnd(filter, signal) {
  const hasMore = async (after) => {
    try {
      const { data } = await send("GET", "changes", { query: { ...filter, after: String(after), page_size: 1 }, signal });
      return data.changes.length > 0;
    } catch (error) {
      if (error.code === "changes_expired") return true;
      throw error;
    }
  };
  let low = 0, high = FIRST;
  while (await hasMore(high)) [low, high] = [high, high * 4];
  while (high - low > FIRST) {
    const middle = Math.floor((low + high) / 2);
    if (await hasMore(middle)) low = middle;
    else high = middle;
  }
  return high;
}

function entry(change) {
  const { action, module, operation, seq } = change;
  const fields = Object.entries(change.fields).map(([name, { from, to }]) => [fieldLabel([name]),
    [action !== "create" && from !== undefined && [foreign(plain(from)), " → "], foreign(plain(to))]]);
  return h("li", {},
    h("p", {}, badge(`action-${action}`, t(`action.${action}`)), " ",
      module ? link(moduleHash(module), foreign(module)) : foreign(plain(change.fields.name?.to)), " ", outcomeBadge(change.outcome)),
    facts(fields),
    h("p", { class: "hint" }, `${seq} · `, time(change.at), " · ", foreign([change.caller, change.user].filter(Boolean).join(" · ")),
      operation && [" · ", link(`#/operations/${operation}`, t("operation"))]));
}
