// Follows tries in the service's queue until they end.

import { ask, service } from "./api.js";
import { isOpen } from "./card.js";
import { applyRow } from "./tries.js";

const WAIT_S = 2; // the service holds its answer this long, if few others wait
const FIRST_PAUSE_MS = 400;
const LAST_PAUSE_MS = 5000;
const GROWTH = 1.5;
const LOST = new Set([401, 403, 404]);

const followed = new Set();
let isRunning = false;
let pauseMs = FIRST_PAUSE_MS;

/** `onChange` gets a try whose row cannot be read. */
export function follow(one, onChange) {
  followed.add(one);
  pauseMs = FIRST_PAUSE_MS;
  if (!isRunning) run(onChange);
}

export function unfollow(one) {
  followed.delete(one);
}

async function run(onChange) {
  isRunning = true;
  while (followed.size) {
    let isHeld = false;
    for (const one of [...followed]) {
      // Only one request waits: the browser needs its other connections for pictures.
      isHeld = await look(one, followed.size === 1, onChange);
      if (!isOpen(one)) followed.delete(one);
    }
    if (!isHeld && followed.size) await pause();
  }
  isRunning = false;
}

/** Reads the row once. Returns whether the service has waited for its end. */
async function look(one, mayWait, onChange) {
  if (!isOpen(one)) return true;
  const headers = mayWait ? { Prefer: `wait=${WAIT_S}` } : {};
  try {
    const answer = await ask(`${service.inferences}${one.rowId}/`, { headers });
    const before = one.state;
    if (isOpen(one)) applyRow(one, answer.body);
    if (one.state !== before) pauseMs = FIRST_PAUSE_MS;
    return answer.headers.has("Preference-Applied");
  } catch (error) {
    Object.assign(one, { problem: error.message, status: error.status });
    if (LOST.has(error.status)) one.state = "failed";
    onChange(one);
    return false;
  }
}

function pause() {
  const ms = pauseMs;
  pauseMs = Math.min(LAST_PAUSE_MS, pauseMs * GROWTH);
  return new Promise((resolve) => setTimeout(resolve, ms));
}
