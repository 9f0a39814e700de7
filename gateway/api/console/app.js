// The frame of the console: navigation, language, API key, and the page of the address after "#".

import { hasKey, Problem, setKey } from "./api.js";
import { batchPage } from "./batch.js";
import { changesPage } from "./changes.js";
import { connectionsPage } from "./connections.js";
import { ask, button, h, labelled, link, select } from "./dom.js";
import { language, LANGUAGES, setLanguage, t } from "./i18n.js";
import { modulesPage } from "./modules.js";
import { operationsPage } from "./operations.js";
import { problemPanel, retryButton } from "./problem.js";

const PAGES = { modules: modulesPage, batch: batchPage, operations: operationsPage, changes: changesPage, connections: connectionsPage };
const main = document.getElementById("main");
let leaving = new AbortController();
let isAsking = false;

async function showPage({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const [path, search] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id] = path.split("/");
  const key = name in PAGES ? name : "modules";
  showHeader(key);
  const title = h("h1", { tabindex: "-1" }, t(`nav.${key}`));
  main.replaceChildren(title);
  document.title = `${t(`nav.${key}`)} · module-gateway`;
  if (focus) title.focus({ preventScroll: true });
  try {
    await PAGES[key]({ main, id: id && decodeURIComponent(id), query: new URLSearchParams(search), signal });
  } catch (error) {
    if (signal.aborted) return;
    main.append(problemPanel(error, { isWrite: false, actions: [retryButton(() => showPage())] }));
  }
}

function showHeader(current) {
  document.documentElement.lang = language();
  document.getElementById("skip").textContent = t("skip");
  const items = Object.keys(PAGES).map((name) =>
    h("li", {}, h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, t(`nav.${name}`))));
  const chooseLanguage = select("language", Object.entries(LANGUAGES), language().slice(0, 2), (value) => { setLanguage(value); showPage({ focus: false }); });
  chooseLanguage.setAttribute("aria-label", "Language / 语言");
  document.getElementById("header").replaceChildren(
    h("div", { class: "brand" }, "module-gateway"),
    h("nav", { "aria-label": t("navigation") }, h("ul", {}, items)),
    h("div", { class: "tools" }, chooseLanguage, button(t(hasKey() ? "keySet" : "key"), askForKey, { id: "key" }), link("../docs", t("api"))));
}

async function askForKey() {
  if (isAsking) return;
  isAsking = true;
  const input = h("input", { id: "api-key", type: "password", autocomplete: "off", spellcheck: "false" });
  const content = [h("p", {}, t("keyHint")), labelled(t("key"), input)];
  const value = await ask(t("key"), content, t("keep"), { read: () => input.value.trim() });
  isAsking = false;
  if (value === null) return;
  setKey(value);
  showPage();
}

document.addEventListener("unauthenticated", askForKey);
addEventListener("hashchange", () => showPage());
// Faults of a page's own code, and failures that it does not handle, are shown, not only logged.
addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name === "AbortError") return;
  main.append(problemPanel(reason instanceof Problem ? reason : { detail: String(reason), code: "", outcome: "unknown" }));
});
document.getElementById("skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
showPage({ focus: false });
