// The page of connections: state, mode, limits, circuit, and a person's own credential where one is passed through.

import { hasCredential, Problem, send, setCredential } from "./api.js";
import { badge, button, facts, h, labelled, pause, time } from "./dom.js";
import { t } from "./i18n.js";
import { problemPanel } from "./problem.js";

const INTERVAL = 5; // seconds between two readings

export async function connectionsPage({ main, signal }) {
  const read = h("p", { class: "count" }), cards = h("div", { class: "cards" });
  main.append(read, cards);
  for (;;) {
    try {
      const { data: { backends } } = await send("GET", "backends", { signal });
      const details = await Promise.all(backends.map(({ name }) => send("GET", `backends/${name}`, { signal })));
      if (!cards.contains(document.activeElement)) cards.replaceChildren(...details.map(({ data }) => card(data)));
      read.replaceChildren(t("readAt"), " ", time(new Date().toISOString()));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      read.replaceChildren(problemPanel(error, { isWrite: false }));
      if (!error.retryable) return;
    }
    await pause(INTERVAL, signal);
  }
}

function card(backend) {
  const { credential_header: header } = backend, inputId = `credential-${backend.name}`;
  const input = h("input", { id: inputId, type: "password", autocomplete: "off" });
  return h("section", { class: "panel", "aria-labelledby": `title-${backend.name}` },
    h("h2", { id: `title-${backend.name}` }, backend.title, " ", h("code", {}, backend.name)),
    facts([
      [t("state"), [badge(`connection-${backend.state}`, t(`connection.${backend.state}`)), " ", t(`connection.${backend.state}.meaning`)]],
      [t("mode"), [badge(`mode-${backend.mode}`, t(`mode.${backend.mode}`)), " ", t(`mode.${backend.mode}.meaning`)]],
      [t("circuit"), t(backend.state === "circuit_open" ? "circuit.open" : "circuit.closed")],
      [t("settleWindow"), t("seconds", { number: backend.settle_seconds })],
      ...Object.entries(backend.limits).map(([name, value]) => [name.replaceAll("_", " "), String(value)]),
      [t("lookups"), backend.lookups.join(", ") || t("none")],
    ]),
    backend.notes.map((note) => h("p", { class: "hint", lang: "en" }, note)),
    header && h("form", { onsubmit: (event) => { event.preventDefault(); setCredential(header, input.value); input.value = ""; input.blur(); } },
      labelled(t("ownCredential", { header }), input), h("p", { class: "hint" }, t(hasCredential(header) ? "credentialKept" : "credentialHint")),
      h("button", { type: "submit" }, t("keep"))),
    h("div", { class: "actions" }, button(t("nav.modules"), () => { location.hash = `#/modules?backend=${backend.name}`; })));
}
