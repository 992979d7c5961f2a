// What happens to a try: it is sent, perhaps waits in the queue, and ends with a label or a reason.

import { ApiError, ask, service } from "./api.js";
import { isOpen } from "./card.js";

const TOP_K = 5;
const PARALLEL = 2;
const SEND_TIMEOUT_S = 200; // the service allows 180 for a body
const MAX_ATTEMPTS = 5; // while a rate limit is reached
const MAX_HOLD_S = 15;
export const UNAUTHORIZED = 401;
const TOO_LARGE = 413;
const TOO_MANY = 429;
const CHANGED = "The file was moved or changed after you chose it. Choose it again.";

const waiting = [];
let running = 0;
let count = 0;
let heldUntil = 0;
let changed = () => {};
let queued = () => {};

/** `onChange` gets a try each time it has changed, and `onQueued` one that a worker will complete. */
export function setUpTries(onChange, onQueued) {
  changed = onChange;
  queued = onQueued;
}

/** A try in the form that the history keeps. `file` and names that begin with `is` stay in the page. */
export function newTry(file, model, mode) {
  return {
    ...{ id: nextId(), name: file.name || "picture", model, mode, state: "waiting" },
    ...{ label: "", predictions: [], problem: "", note: "", announced: "", elapsedMs: null, rowId: null, thumbnail: null },
    ...{ file, key: unique(), attempts: 0, controller: null, isCanceling: false },
  };
}

/** Returns an id by which the history sorts. */
function nextId() {
  count += 1;
  return `${Date.now()}-${String(count).padStart(6, "0")}-${unique()}`;
}

function unique() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

export function send(one) {
  waiting.push(one);
  pump();
}

/** Sends a picture again. */
export function sendAgain(one, model) {
  const fresh = { state: "waiting", problem: "", note: "", announced: "", rowId: null, attempts: 0 };
  // If the row may have been created, the key stays, so that it is not created twice: no answer arrived, or the token
  // ended while the row was followed.
  const mayExist = one.isUnanswered || one.status === UNAUTHORIZED;
  Object.assign(one, fresh, mayExist && one.model === model ? {} : { key: unique(), model });
  changed(one);
  send(one);
}

export async function cancel(one) {
  if (one.rowId !== null) return cancelRow(one);
  const index = waiting.indexOf(one);
  if (index >= 0) waiting.splice(index, 1);
  one.controller?.abort();
  return settle(one, { state: "canceled", problem: "" });
}

async function cancelRow(one) {
  if (one.isCanceling) return;
  settle(one, { isCanceling: true });
  try {
    const { body } = await ask(`${service.inferences}${one.rowId}/cancel/`, { method: "POST" });
    applyRow(one, body);
  } catch (error) {
    settle(one, { problem: error.message, note: error.message });
  } finally {
    settle(one, { isCanceling: false });
  }
}

function settle(one, change) {
  Object.assign(one, change);
  changed(one);
}

function pump() {
  const holdMs = heldUntil - Date.now();
  if (holdMs > 0) {
    setTimeout(pump, holdMs);
    return;
  }
  while (running < PARALLEL && waiting.length) {
    running += 1;
    attempt(waiting.shift()).finally(() => {
      running -= 1;
      pump();
    });
  }
}

async function attempt(one) {
  one.controller = new AbortController();
  settle(one, { state: "sending", problem: "", attempts: one.attempts + 1, isUnanswered: false });
  try {
    if (one.file.size > Number(service.maxImageBytes)) throw new ApiError(service.tooLarge, TOO_LARGE);
    await (one.mode === "v0" ? classify(one) : create(one));
  } catch (error) {
    const isLost = error.status === 0 && !(await isReadable(one.file));
    if (!one.controller.signal.aborted) handle(one, isLost ? new ApiError(CHANGED) : error);
  }
}

/** The browser reads a file only when it is sent, and reports only that this failed. */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

async function classify(one) {
  const start = performance.now();
  const { body } = await post(`${service.classify}?top_k=${TOP_K}`, one);
  const elapsedMs = performance.now() - start;
  settle(one, { state: "done", label: body.label, predictions: body.predictions, elapsedMs });
}

async function create(one) {
  const { body } = await post(service.inferences, one, { "Idempotency-Key": one.key });
  applyRow(one, body);
  if (isOpen(one)) queued(one);
}

function post(address, one, headers = {}) {
  const form = new FormData();
  form.set("model_type", one.model);
  form.set("image", one.file, one.name);
  const options = { method: "POST", body: form, headers, signal: one.controller.signal, timeoutS: SEND_TIMEOUT_S };
  return ask(address, options);
}

/** Copies the state of the row in the service. */
export function applyRow(one, row) {
  const elapsedMs = row.status === "done" ? Date.parse(row.finished_at) - Date.parse(row.created_at) : null;
  settle(one, {
    ...{ rowId: row.id, state: row.status === "fail" ? "failed" : row.status, label: row.label },
    // An attempt that failed is tried again: the reason says why the row is not done yet. `note`: why it is not canceled.
    ...{ predictions: row.predictions.slice(0, TOP_K), elapsedMs },
    problem: row.error?.detail ?? (row.finished_at ? "" : one.note),
  });
}

function handle(one, error) {
  if (error.status === TOO_MANY && error.retryAfterS <= MAX_HOLD_S && one.attempts < MAX_ATTEMPTS) hold(one, error);
  else settle(one, { state: "failed", problem: error.message, status: error.status, isUnanswered: error.status === 0 });
}

/** Holds all pictures back until the service accepts more. */
function hold(one, error) {
  heldUntil = Math.max(heldUntil, Date.now() + error.retryAfterS * 1000);
  waiting.unshift(one);
  settle(one, { state: "waiting", problem: error.message });
}
