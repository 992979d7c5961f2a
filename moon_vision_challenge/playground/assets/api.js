// Requests to the API, with the token of this browser tab.

const STORED_AS = "moonvision-token";
const NO_ANSWER = "The service did not answer. Check your network connection, then try again.";
const UNNAMED = new Set(["image", "non_field_errors", "detail"]); // fields whose names mean nothing to a person

/** The service's addresses and limits, from the page. */
export const service = document.body.dataset;

/** Why there is no result, in a sentence for a person. */
export class ApiError extends Error {
  constructor(sentence, status = 0, retryAfterS = null) {
    super(sentence);
    this.status = status; // 0: no answer arrived
    this.retryAfterS = retryAfterS;
  }
}

let token = read();

function read() {
  try {
    return sessionStorage.getItem(STORED_AS) ?? "";
  } catch {
    return ""; // the browser stores nothing for this page
  }
}

export function hasToken() {
  return token !== "";
}

/** Uses this token for all later requests. Without one, callers are anonymous. */
export function setToken(text) {
  token = text;
  try {
    if (text) sessionStorage.setItem(STORED_AS, text);
    else sessionStorage.removeItem(STORED_AS);
  } catch {
    // The token lasts until the page is left.
  }
}

/** The body and headers of a successful answer. Throws ApiError, or AbortError if `signal` aborts it. */
export async function ask(address, { method = "GET", body, headers = {}, signal, timeoutS = 30 } = {}) {
  const all = { Accept: "application/json", ...headers };
  if (token) all.Authorization = `Bearer ${token}`;
  const { response, text } = await send(address, { method, body, headers: all }, signal, timeoutS);
  const answer = parse(text);
  if (response.ok && answer !== undefined) return { body: answer, headers: response.headers };
  const retryAfter = response.headers.get("Retry-After");
  throw new ApiError(sentence(answer, response.status), response.status, retryAfter && Number(retryAfter));
}

async function send(address, options, signal, timeoutS) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const timer = setTimeout(abort, timeoutS * 1000);
  signal?.addEventListener("abort", abort);
  try {
    const response = await fetch(address, { ...options, cache: "no-store", signal: controller.signal });
    return { response, text: await response.text() };
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(NO_ANSWER);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a proxy's page
  }
}

/** The API's own sentences: `{"detail"}`, or lists of sentences by field. */
function sentence(body, status) {
  const sentences = Object.entries(Object(body))
    .filter(([name]) => name !== "code")
    .flatMap(([name, value]) =>
      [value].flat().filter((each) => typeof each === "string").map((each) => (UNNAMED.has(name) ? each : `${name}: ${each}`)),
    );
  return sentences.join(" ") || `The service answered with status ${status} and gave no reason. Try again later.`;
}
