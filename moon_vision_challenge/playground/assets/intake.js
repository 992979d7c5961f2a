// Accepts pictures: dropped, pasted, picked, photographed, or the sample.

import { service } from "./api.js";

const MAX_AT_ONCE = 100;
const NO_FILE = "Nothing here is a file. Save the picture first, or copy the picture instead of its address.";
const FOLDER = "A folder was left out. Drop the pictures in it, or classify folders with the moonvision command.";

const drop = document.getElementById("drop");
const files = document.getElementById("files");
const camera = document.getElementById("camera");
const notice = document.getElementById("notice");

/** Calls `take` with a list of files each time. */
export function setUpIntake(take) {
  const accept = (list) => acceptFiles(list, take);
  document.getElementById("pick").addEventListener("click", () => files.click());
  document.getElementById("photograph").addEventListener("click", () => camera.click());
  document.getElementById("use-sample").addEventListener("click", async () => accept(await fetchSample()));
  for (const input of [files, camera]) {
    input.addEventListener("change", () => {
      accept([...input.files]);
      input.value = ""; // so that the same picture can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files];
    if (pasted.length) accept(pasted);
  });
  setUpDrop(accept);
}

export function tell(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

function acceptFiles(list, take) {
  if (!list.length) return;
  const surplus = list.length - MAX_AT_ONCE;
  tell(surplus > 0 ? `The first ${MAX_AT_ONCE} of ${list.length} pictures were taken. Add the others later.` : "");
  take(list.slice(0, MAX_AT_ONCE));
}

function setUpDrop(accept) {
  let depth = 0; // each element under the pointer is entered and left
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    drop.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => mark(1));
  addEventListener("dragleave", () => mark(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault(); // otherwise the browser opens the picture
    mark(-Infinity);
    const dropped = withoutFolders(event.dataTransfer);
    if (dropped.length) accept(dropped);
    if (dropped.length < event.dataTransfer.files.length) tell(FOLDER);
    else if (!dropped.length) tell(NO_FILE);
  });
}

function withoutFolders(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return items.filter((item) => !item.webkitGetAsEntry?.()?.isDirectory).flatMap((item) => item.getAsFile() ?? []);
}

async function fetchSample() {
  try {
    const response = await fetch(service.sample);
    if (response.ok) return [new File([await response.blob()], "coffee.jpg", { type: "image/jpeg" })];
  } catch {
    // reported below
  }
  tell("The sample could not be loaded. Check your network connection, then try again.");
  return [];
}
