// Follows an unknown outcome to its end.

import { isLive, modulePath, operationPath, Problem, send } from "./api.js";
import { pause } from "./dom.js";

const LONGEST_PAUSE = 4; // seconds

/** Read an operation until it is settled; `update` gets each state. Failed reads are repeated. */
export async function followOperation(id, update, signal) {
  for (let seconds = 0.4; ; seconds = Math.min(seconds * 1.5, LONGEST_PAUSE)) {
    try {
      const { data } = await send("GET", operationPath(id), { signal });
      update(data);
      if (!isLive(data)) return data;
    } catch (error) {
      if (!(error instanceof Problem) || !error.retryable) throw error;
    }
    await pause(seconds, signal);
  }
}

/**
 * Send a create, again if no answer comes back: with one Idempotency-Key it is the same create.
 * `waiting` is called before each repeat. Throws the problem of a request that was answered.
 */
export async function sendCreate(path, options, waiting) {
  for (let seconds = 1; ; seconds = Math.min(seconds * 2, 16)) {
    try {
      return await send("POST", path, options);
    } catch (error) {
      const isUnanswered = error instanceof Problem && error.outcome === "unknown" && !error.operation;
      if (!isUnanswered || error.status === 500 || seconds >= 16) throw error;
      waiting(error);
    }
    await pause(seconds, options.signal);
  }
}

/** Read a module until `isDone` says that a change is visible; return whether that came within `seconds`. */
export async function watchModule(id, isDone, seconds, signal) {
  const end = performance.now() + seconds * 1000;
  for (let wait = 0.5; ; wait = Math.min(wait * 1.5, LONGEST_PAUSE)) {
    try {
      const { data } = await send("GET", modulePath(id), { signal });
      if (isDone(data)) return true;
    } catch (error) {
      if (error.code === "module_not_found") return isDone(null);
      if (!(error instanceof Problem) || !error.retryable) throw error;
    }
    if (performance.now() > end) return false;
    await pause(wait, signal);
  }
}
