// What screen readers say when results arrive.

const PAUSE_MS = 600; // results that arrive together are announced together
const MAX_NAMED = 3;

const region = document.getElementById("live");
let waiting = [];
let timer = 0;

export function announce(text) {
  waiting.push(text);
  clearTimeout(timer);
  timer = setTimeout(speak, PAUSE_MS);
}

function speak() {
  const more = waiting.length - MAX_NAMED;
  region.textContent = waiting.slice(0, MAX_NAMED).join(" ") + (more > 0 ? ` And ${more} more.` : "");
  waiting = [];
}
