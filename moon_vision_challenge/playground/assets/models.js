// The choice of a model, with its state as the catalogue reports it.

import { ask, service } from "./api.js";

const REFRESH_MS = 10_000;
const STATES = {
  available: "Ready",
  loading: "Loading",
  unavailable: "Not available",
  unknown: "The model server does not answer",
};

const select = document.getElementById("model");
const line = document.getElementById("model-state");

let models = new Map();
let latest = 0;
let isRefused = false; // until another token is used

export function chosenModel() {
  return select.value;
}

/** Reads the catalogue now, and again every ten seconds while the page is visible. `onRefused` gets each error. */
export function watchModels(onRefused) {
  const refresh = () => refreshModels().catch(onRefused);
  const refreshIfSeen = () => document.hidden || isRefused || refresh();
  select.addEventListener("change", showState);
  document.addEventListener("visibilitychange", refreshIfSeen);
  setInterval(refreshIfSeen, REFRESH_MS);
  return refresh();
}

/** Shows an ApiError, and throws it. */
export async function refreshModels() {
  const mine = ++latest;
  try {
    const { body } = await ask(service.models);
    isRefused = false;
    if (mine === latest) show(body);
  } catch (error) {
    isRefused = error.status === 401 || error.status === 403;
    if (mine === latest) setLine("unavailable", error.message);
    if (error.status === 403) await showChoices();
    throw error;
  }
}

/** A token that may classify but not read still gets the names. */
async function showChoices() {
  const { body } = await ask(service.classify, { method: "OPTIONS" });
  fill(body.actions.POST.model_type.choices.map((choice) => choice.value));
}

function show(entries) {
  models = new Map(entries.map((entry) => [entry.model_type, entry]));
  const shown = [...select.options].map((option) => option.value);
  if (shown.join("\n") !== [...models.keys()].join("\n")) fill([...models.keys()]);
  for (const option of select.options) {
    const entry = models.get(option.value);
    option.textContent = entry.is_ready ? option.value : `${option.value} (${STATES[entry.state].toLowerCase()})`;
  }
  showState();
}

function fill(names) {
  const before = select.value;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
  select.value = names.includes(before) ? before : (names.find((name) => models.get(name)?.is_ready) ?? names[0]);
  select.disabled = names.length === 0;
}

function showState() {
  const entry = models.get(select.value);
  if (entry) setLine(entry.state, describe(entry));
  else setLine("unavailable", "This service has no models. Its documentation says how to add one.");
}

function describe(entry) {
  const facts = [STATES[entry.state]];
  if (entry.is_ready && entry.versions.length) facts.push(`version ${entry.versions[0].version}`);
  if (entry.input_size) facts.push(`${entry.input_size} × ${entry.input_size} pixels`);
  if (entry.classes_count) facts.push(`${entry.classes_count.toLocaleString("en")} classes`);
  return entry.is_ready ? facts.join(" · ") : `${STATES[entry.state]}. ${entry.reason}`.trim();
}

function setLine(state, text) {
  line.dataset.state = state;
  if (line.textContent !== text) line.textContent = text; // otherwise a screen reader would repeat it
}
