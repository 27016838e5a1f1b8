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
    view.onDraw = (xyxy) => this.draw(xyxy);
    this.form.addEventListener("change", () => this.changed());
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
    const same = JSON.stringify(this.answer?.detections) === JSON.stringify(answer.detections);
    const wrong = same ? this.wrong() : new Set();
    if (!same) {
      this.form.reset();
      this.view.setOwn([]);
    }
    this.answer = answer;
    this.boxes = boxes;
    this.form.querySelector(".judged").replaceChildren(...boxes.map(([, number]) => choice(number, wrong.has(number))));
    this.changed();
  }

  /** Give the numbers of the boxes that were called wrong. */
  wrong() {
    return new Set([...this.form.querySelectorAll(".judged input:checked")].map(({ value }) => Number(value)));
  }

  draw(xyxy) {
    this.view.setOwn([...this.view.own, xyxy]);
    this.changed();
  }

  /** Show what the correction says by now. */
  changed() {
    const { truth } = this;
    const wrong = truth === NORMAL ? new Set(this.boxes.map(([, number]) => number)) : this.wrong();
    this.form.querySelector(".where").hidden = truth !== FRACTURE;
    this.view.setWrong(truth === FRACTURE || truth === NORMAL ? wrong : new Set());
    this.view.showOwn(truth === FRACTURE);
    this.form.querySelector(".drawn-here").replaceChildren(...this.view.own.map((_, index) => this.ownRow(index)));
    this.form.querySelector("[type=submit]").disabled = !truth;
    const said = this.said();
    this.status.classList.remove("problem");
    this.status.textContent = correctionWords(said, this.view.own.length);
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
    const called = truth === NORMAL ? () => true : (number) => this.wrong().has(number);
    const some = (isWrong) => this.boxes.filter(([, number]) => called(number) === isWrong)
      .map(([{ bbox_xyxy: xyxy }]) => xyxy);
    const judged = truth === FRACTURE || truth === NORMAL;
    return {
      truth,
      boxes: truth === FRACTURE ? [...some(false), ...this.view.own] : [],
      wrong: judged ? some(true) : [],
      frame: this.answer.frame ?? 0,
    };
  }

  async submit(send) {
    const button = this.form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      this.status.textContent = keptWords(await send(this.said()));
      this.status.classList.remove("problem");
    } catch (problem) {
      this.status.textContent = problemWords(problem);
      this.status.classList.add("problem");
    } finally {
      button.disabled = false;
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
