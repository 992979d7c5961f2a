// Connects the parts of the page.

import { announce } from "./announce.js";
import { Card, isOpen } from "./card.js";
import * as history from "./history.js";
import { setUpIntake } from "./intake.js";
import { chosenModel, refreshModels, watchModels } from "./models.js";
import { follow, unfollow } from "./queue.js";
import { thumbnail } from "./thumbnail.js";
import { askForToken, setUpToken } from "./token.js";
import { UNAUTHORIZED, cancel, newTry, send, sendAgain, setUpTries } from "./tries.js";

const INTERRUPTED =
  "Another tab still waits for the answer, or the page was left before it came. In that case, send the picture again.";

const list = document.getElementById("tries");
const heading = document.getElementById("results-heading");
const clear = document.getElementById("clear");
const cards = new Map();

function chosenMode() {
  return document.querySelector("input[name=mode]:checked").value;
}

function show(one, place = "prepend") {
  const actions = {
    cancel: () => cancel(one),
    again: () => sendAgain(one, chosenModel()),
    remove: () => remove(one),
  };
  const card = new Card(one, actions);
  cards.set(one.id, card);
  list[place](card.element);
  if (one.thumbnail) card.setPicture(one.thumbnail);
  showWhetherEmpty();
}

function changed(one) {
  const card = cards.get(one.id);
  if (!card) return; // removed in the meantime
  card.update();
  keep(one);
  if (one.state === "failed" && one.status === UNAUTHORIZED) askForToken(one.problem);
  if (!isOpen(one)) announceEnd(one);
}

function announceEnd(one) {
  if (one.announced === one.state) return;
  one.announced = one.state;
  const ends = { done: one.label, canceled: "canceled.", failed: one.problem };
  announce(`${one.name}: ${ends[one.state]}`);
}

function keep(one) {
  const { file, controller, ...kept } = one; // a File would keep the whole picture
  history.save(kept);
}

function take(files) {
  for (const file of files) {
    const one = newTry(file, chosenModel(), chosenMode());
    show(one);
    keep(one);
    send(one);
    addThumbnail(one);
  }
  announce(files.length === 1 ? `${files[0].name} is being sent.` : `${files.length} pictures are being sent.`);
}

async function addThumbnail(one) {
  one.thumbnail = await thumbnail(one.file);
  const card = cards.get(one.id);
  if (!card || !one.thumbnail) return;
  card.setPicture(one.thumbnail);
  keep(one);
}

function remove(one) {
  const { element } = cards.get(one.id);
  const next = element.nextElementSibling ?? element.previousElementSibling ?? heading;
  discard(one.id);
  history.remove(one.id);
  next.focus();
}

function removeAll() {
  for (const { one } of [...cards.values()]) {
    if (isOpen(one) && one.rowId === null) cancel(one);
    unfollow(one);
    discard(one.id);
  }
  history.removeAll();
  announce("All results are removed.");
  heading.focus();
}

function discard(id) {
  cards.get(id).discard();
  cards.delete(id);
  showWhetherEmpty();
}

function showWhetherEmpty() {
  document.getElementById("empty").hidden = cards.size > 0;
  clear.hidden = cards.size === 0;
}

async function restore() {
  for (const kept of (await history.load()).reverse()) {
    const one = { ...kept, file: null, controller: null, isCanceling: false };
    const isQueued = isOpen(one) && one.rowId !== null;
    if (isOpen(one) && !isQueued) Object.assign(one, { state: "failed", problem: INTERRUPTED });
    show(one, "append"); // a new try may already be above
    if (isQueued) follow(one, changed);
  }
}

setUpTries(changed, (one) => follow(one, changed));
setUpToken(refreshModels);
setUpIntake(take);
clear.addEventListener("click", removeAll);
restore();
watchModels((error) => error.status === UNAUTHORIZED && askForToken(error.message));
