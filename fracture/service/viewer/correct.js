// A reader's correction of a film: what is true of it, which boxes are wrong, which are missing.

import { element } from "./dom.js";
import { correctionWords, keptWords, problemWords } from "./words.js";

const FRACTURE = "fracture";
const NORMAL = "no fracture";

export class Correction {
  /**
   * Wire the form of a film's card.
   * @param {{card: HTMLElement, view: FilmView}} film
   * @param {(said: object) => Promise<{sha256: string}>} send
   */
  constructor({ card, view }, send) {
    this.view = view;
    this.form = card.querySelector(".correct");
    this.status = this.form.querySelector("[role=status]");
    this.answer = null;
    this.boxes = []; // the model's that are shown, as [detection, number]
    this.wrong = new Set(); // the numbers of those that were called wrong, shown or not
    this.kept = null; // what was kept last, as it was said, and what the page says of it
    view.onDraw = (xyxy) => this.draw(xyxy);
    this.form.addEventListener("change", ({ target }) => {
      if (target.type === "checkbox") this.wrong[target.checked ? "add" : "delete"](Number(target.value));
      this.changed();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit(send);
    });
  }

  get truth() {
    return new FormData(this.form).get("truth");
  }

  /** Follow what is shown of an answer; another answer begins anew. */
  update(answer, boxes) {
    // The same film is read again when another one comes to the study: what was said of it stays.
    if (JSON.stringify(this.answer?.detections) !== JSON.stringify(answer.detections)) {
      this.form.reset();
      this.wrong = new Set();
      this.kept = null;
      this.view.setOwn([]);
    }
    this.answer = answer;
    const same = this.boxes.length === boxes.length && this.boxes.every(([, number], at) => number === boxes[at][1]);
    this.boxes = boxes;
    const list = this.form.querySelector(".judged");
    // A list that is replaced for nothing would lose the focus.
    if (!same) list.replaceChildren(...boxes.map(([, number]) => choice(number, this.wrong.has(number))));
    this.changed();
  }

  draw(xyxy) {
    this.view.setOwn([...this.view.own, xyxy]);
    this.changed();
  }

  /** Show what the correction says by now. */
  changed() {
    const { truth } = this;
    const said = this.said();
    const wrong = truth === NORMAL ? new Set(this.boxes.map(([, number]) => number)) : this.wrong;
    this.form.querySelector(".where").hidden = truth !== FRACTURE;
    this.view.setWrong(truth === FRACTURE || truth === NORMAL ? wrong : new Set());
    this.view.showOwn(truth === FRACTURE);
    const rows = this.form.querySelector(".drawn-here");
    if (rows.children.length !== this.view.own.length) {
      rows.replaceChildren(...this.view.own.map((_, index) => this.ownRow(index)));
    }
    this.form.querySelector("[type=submit]").disabled = !truth;
    const known = this.kept?.said === JSON.stringify(said);
    this.tell(known ? this.kept.words : correctionWords(said, this.view.own.length));
  }

  tell(words, problem = false) {
    this.status.textContent = words;
    this.status.classList.toggle("problem", problem);
  }

  ownRow(index) {
    const [item, button] = [element("li", `Your box ${index + 1} `), element("button", "Remove")];
    button.type = "button";
    button.setAttribute("aria-label", `Remove your box ${index + 1}`);
    button.addEventListener("click", () => {
      this.view.setOwn(this.view.own.filter((_, other) => other !== index));
      this.changed();
      const left = this.form.querySelectorAll(".drawn-here button");
      (left[Math.min(index, left.length - 1)] ?? this.form.querySelector("[data-do=draw]")).focus(); // this one is gone
    });
    item.append(button);
    return item;
  }

  /** Give the correction as the service takes it; null while nothing is said. */
  said() {
    const { truth } = this;
    if (!truth) return null;
    const all = this.answer.detections.map((detection, index) => [detection, index + 1]);
    const shown = new Set(this.boxes.map(([, number]) => number));
    const edges = (some) => some.map(([{ bbox_xyxy: xyxy }]) => xyxy);
    // What was called wrong stays so where the slider hides it; what is hidden and was not judged is not said.
    const wrong = all.filter(([, number]) => this.wrong.has(number) || (truth === NORMAL && shown.has(number)));
    const right = all.filter(([, number]) => shown.has(number) && !this.wrong.has(number));
    return {
      truth,
      boxes: truth === FRACTURE ? [...edges(right), ...this.view.own] : [],
      wrong: truth === FRACTURE || truth === NORMAL ? edges(wrong) : [],
      frame: this.answer.frame ?? 0,
    };
  }

  async submit(send) {
    if (this.form.inert) return;
    const said = this.said();
    this.form.inert = true; // what is being kept is not changed meanwhile
    try {
      this.kept = { said: JSON.stringify(said), words: keptWords(await send(said)) };
      this.changed();
    } catch (problem) {
      this.tell(problemWords(problem), true);
    } finally {
      this.form.inert = false;
      this.form.querySelector("[type=submit]").focus();
    }
  }
}

function choice(number, checked) {
  const [item, label, input] = [element("li", ""), element("label", ""), document.createElement("input")];
  Object.assign(input, { type: "checkbox", value: number, checked });
  label.append(input, ` Box ${number} is wrong: it marks no fracture`);
  item.append(label);
  return item;
}
