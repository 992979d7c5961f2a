// The card of one try. Everything from outside is set as text.

import { duration, kindOf, scores, STATES } from "./format.js";
import { snippets } from "./snippets.js";

const template = document.getElementById("card");
const barTemplate = document.getElementById("bar");
const WORDS = { v0: "now", v1: "queued" };

let count = 0;

export class Card {
  /** `actions` has cancel, again and remove: functions without arguments. */
  constructor(one, actions) {
    this.one = one;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.element.querySelector(selector);
    this.picture = "";
    this.find(".name").textContent = this.find(".name").title = one.name; // a long name is cut off
    this.find(".kind").textContent = kindOf(one.name);
    this.find(".name").id = `name-${++count}`;
    for (const button of this.element.querySelectorAll("button")) button.setAttribute("aria-describedby", `name-${count}`);
    for (const [name, act] of Object.entries(actions)) this.find(`.${name}`).addEventListener("click", act);
    this.#setUpCode();
    this.update();
  }

  setPicture(blob) {
    this.picture = URL.createObjectURL(blob);
    const image = this.find("img");
    image.src = this.picture;
    image.hidden = false;
    this.find(".kind").hidden = true;
  }

  /** Shows the try as it is now. */
  update() {
    const { one } = this;
    this.element.dataset.state = one.state;
    this.element.setAttribute("aria-busy", String(isOpen(one)));
    this.find(".label").textContent = one.state === "done" ? one.label : STATES[one.state];
    this.find(".meta").textContent = describe(one);
    this.#showMessage();
    this.#showBars();
    this.#showActions();
  }

  discard() {
    if (this.picture) URL.revokeObjectURL(this.picture);
    this.element.remove();
  }

  #showMessage() {
    const message = this.find(".message");
    message.textContent = this.one.problem;
    message.hidden = !this.one.problem;
  }

  #showBars() {
    const bars = this.find(".bars");
    const { predictions, state } = this.one;
    bars.hidden = state !== "done" || !predictions.length;
    if (bars.hidden || bars.children.length) return;
    const shown = scores(predictions);
    bars.append(...predictions.map((each, index) => bar(each.label, shown[index])));
  }

  #showActions() {
    const { one } = this;
    const focused = document.activeElement;
    this.find(".cancel").hidden = !isOpen(one);
    this.find(".cancel").setAttribute("aria-disabled", String(one.isCanceling)); // `disabled` would drop the focus
    this.find(".again").hidden = isOpen(one) || one.state === "done" || !one.file;
    this.find(".remove").hidden = isOpen(one);
    // A button that disappears would take the focus with it.
    if (this.element.contains(focused) && focused.hidden) this.element.focus();
  }

  #setUpCode() {
    const code = this.find(".code");
    const toggle = this.find(".show-code");
    const name = `language-${count}`;
    code.id = `code-${count}`;
    toggle.setAttribute("aria-controls", code.id);
    toggle.addEventListener("click", () => {
      code.hidden = !code.hidden;
      toggle.setAttribute("aria-expanded", String(!code.hidden));
      this.#showCode();
    });
    for (const radio of code.querySelectorAll("input")) {
      radio.name = name;
      radio.addEventListener("change", () => this.#showCode());
    }
    this.find(".copy").addEventListener("click", () => this.#copy());
  }

  #showCode() {
    const language = this.find(".languages input:checked").value;
    this.find("code").textContent = snippets(this.one)[language];
    this.find(".copy").textContent = "Copy";
  }

  async #copy() {
    this.find(".copy").textContent = (await copied(this.find("code"))) ? "Copied" : "Not copied: use Ctrl+C";
  }
}

export function isOpen(one) {
  return ["waiting", "sending", "pending", "processing"].includes(one.state);
}

function describe(one) {
  const facts = [one.model, WORDS[one.mode]];
  if (one.elapsedMs !== null) facts.push(duration(one.elapsedMs));
  return facts.filter(Boolean).join(" · ");
}

function bar(label, { text, share }) {
  const item = barTemplate.content.firstElementChild.cloneNode(true);
  item.querySelector(".bar-label").textContent = label;
  item.querySelector(".bar-score").textContent = text;
  item.querySelector(".fill").style.width = `${share * 100}%`;
  item.querySelector(".track").hidden = !text;
  return item;
}

/** Copies the text, or selects it where the browser does not allow that: only HTTPS and localhost have a clipboard. */
async function copied(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
