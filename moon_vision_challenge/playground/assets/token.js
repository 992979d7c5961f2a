// The panel for the API token.

import { hasToken, setToken } from "./api.js";

const NOT_A_TOKEN = "This is not an API token: tokens have only ASCII letters, digits and punctuation. Copy it again.";

const toggle = document.getElementById("token-toggle");
const panel = document.getElementById("token-panel");
const input = document.getElementById("token");
const problem = document.getElementById("token-error");
const forget = document.getElementById("token-forget");

/** `check` is called after each change. It throws an ApiError if the service refuses the token. */
export function setUpToken(check) {
  toggle.addEventListener("click", () => (panel.hidden ? open() : close()));
  panel.addEventListener("submit", (event) => {
    event.preventDefault();
    use(input.value.trim(), check);
  });
  forget.addEventListener("click", () => use("", check));
  describe();
}

/** Opens the panel after the service has refused a request, and shows its sentence. Keeps the focus where it is. */
export function askForToken(sentence) {
  showProblem(sentence);
  panel.hidden = false;
  describe();
}

async function use(text, check) {
  if (!/^[\x21-\x7e]*$/.test(text)) {
    showProblem(NOT_A_TOKEN);
    return;
  }
  setToken(text);
  input.value = "";
  showProblem("");
  try {
    await check();
    close();
  } catch (error) {
    if (text && error.status === 401) setToken("");
    askForToken(error.message);
    input.focus();
  }
  describe();
}

function open() {
  panel.hidden = false;
  describe();
  input.focus();
}

function close() {
  panel.hidden = true;
  showProblem("");
  describe();
  toggle.focus();
}

function describe() {
  toggle.setAttribute("aria-expanded", String(!panel.hidden));
  toggle.textContent = hasToken() ? "API token in use" : "API token";
  forget.hidden = !hasToken();
}

function showProblem(text) {
  if (problem.textContent !== text) problem.textContent = text; // otherwise a screen reader would repeat it
  problem.hidden = !text;
  input.setAttribute("aria-invalid", String(text !== ""));
}
