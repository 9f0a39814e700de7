// Requests to the gateway's public API. Credentials live in this module's memory only.

import { language, t } from "./i18n.js";

const root = new URL("../", import.meta.url); // also below a mount point
const session = { key: "", credentials: new Map() };

export const setKey = (key) => { session.key = key; };
export const hasKey = () => session.key !== "";
/** Keep a person's own credential for a connection that passes it through, by the header that carries it. */
export const setCredential = (header, value) => session.credentials.set(header, value);
export const hasCredential = (header) => Boolean(session.credentials.get(header));

/** A problem document of the API, or one of this page's own if there is no answer to read. */
export class Problem extends Error {
  constructor(members) {
    super(members.detail);
    Object.assign(this, members);
  }

  /** The id of the operation that records the outcome. */
  get operation() {
    return this.instance?.split("/").pop() ?? null;
  }
}

/** Send a request and return its status and document; throws Problem, or AbortError. */
export async function send(method, path, { query = {}, body, headers = {}, signal } = {}) {
  const url = new URL(`./${path}`, root);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.set(name, value);
  const sent = { "Accept-Language": language(), ...headers };
  if (session.key) sent["X-Api-Key"] = session.key;
  for (const [name, value] of session.credentials) if (value) sent[name] = value;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  let response, text;
  try {
    response = await fetch(url, { method, headers: sent, body: body && JSON.stringify(body), signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw missingAnswer("no_response", method);
  }
  const data = parse(text);
  if (response.ok && data !== undefined) return { status: response.status, data };
  if (!data?.code) throw missingAnswer("foreign_response", method, response.status);
  if (response.status === 401) document.dispatchEvent(new CustomEvent("unauthenticated"));
  throw new Problem({ ...data, retryAfter: Number(response.headers.get("Retry-After")) || null });
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return undefined;
  }
}

function missingAnswer(code, method, status = null) {
  const isWrite = method !== "GET";
  return new Problem({ code, status, title: t(`title.${code}`), detail: t(`detail.${code}`, { status }),
    outcome: isWrite ? "unknown" : "not_applied", retryable: true });
}

/** Yield the items of every page of a list. */
export async function* pages(path, query, member, signal) {
  let token = null;
  do {
    const { data } = await send("GET", path, { query: { ...query, page_size: 200, page_token: token }, signal });
    yield data[member];
    token = data.next_page_token;
  } while (token);
}

/** Return a new Idempotency-Key: a create that is sent again with it is the same create. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const segment = encodeURIComponent;
export const modulePath = (id) => `modules/${segment(id)}`;
export const operationPath = (id) => `operations/${segment(id)}`;
export const lookupPath = (backend, kind, scope) =>
  `backends/${segment(backend)}/scopes${kind === "scopes" ? "" : `/${segment(scope)}/${kind}`}`;

const LIVE = new Set(["sending", "reconciling"]);
export const isLive = (operation) => LIVE.has(operation.state);
