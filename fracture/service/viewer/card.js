// What a film's card says beside the film: its answer in words, or why there is none.

import { element } from "./dom.js";
import { shown } from "./modes.js";
import { legendRow, sideBySide } from "./others.js";
import * as words from "./words.js";

/** Say on a film's card what is known of it by now. */
export function updateCard(film) {
  const { card, view, answer, unseen, correction } = film;
  const found = answer?.detections;
  const part = (name) => card.querySelector(name);
  const problem = part(".problem");
  problem.hidden = !answer || Boolean(found);
  part("[data-do=correct]").hidden = !found || !document.body.classList.contains("feedback");
  card.classList.toggle("refused", !problem.hidden && !view.greys);
  problem.textContent = problem.hidden ? "" : words.problemWords(answer);
  const verdict = part(".verdict");
  verdict.dataset.status = (found && answer.status) || "";
  verdict.textContent = found ? words.statusWords(answer.status) : "";
  const [row, column] = answer?.pixel_spacing_mm ?? [];
  view.setSpacing(row ? [column, row] : null);
  if (!found) {
    view.setBoxes([], null, []);
    for (const name of [".chance", ".count", ".advice"]) part(name).textContent = "";
    for (const name of [".found", ".warnings", ".side-by-side"]) part(name).replaceChildren();
    return;
  }
  const numbered = found.map((detection, index) => [detection, index + 1]);
  // The box that the status rests on is never hidden.
  const above = numbered.filter(([{ confidence }, number]) => confidence >= shown.threshold
    || number - 1 === (answer.deciding_box ?? null));
  view.headline = words.statusWords(answer.status);
  view.warnings = answer.warnings ?? [];
  view.hidden = found.length - above.length;
  // A box below the slider is shown only where the status rests on it.
  view.besides = above.some(([{ confidence }]) => confidence < shown.threshold);
  const [boxes, numbers] = [0, 1].map((which) => above.map((one) => one[which]));
  const models = sideBySide(film, boxes);
  view.setBoxes(boxes, answer.image_size, numbers, models);
  part(".side-by-side").replaceChildren(...models.map(legendRow));
  correction.update(answer, above);
  countBoxes(film);
  part(".chance").textContent = words.filmWords(answer, shown.model?.card.calibration);
  part(".found").replaceChildren(...above.map(([detection, number]) => boxRow(view, detection, number)));
  const notes = [...view.warnings];
  if (unseen) notes.push("The picture of this film cannot be shown; the boxes are where they are on it.");
  part(".warnings").replaceChildren(...notes.map((text) => element("li", text)));
  part(".advice").textContent = answer.recommendation ?? "";
}

/** Say how many boxes are shown. */
export function countBoxes({ card, view, answer }) {
  if (!answer?.detections) return;
  const { hidden, besides, boxesHidden: off } = view;
  card.querySelector(".count").textContent = words.countWords({ shown: view.detections.length, hidden, besides, off });
}

function boxRow(view, detection, number) {
  const [what, guesses, raw] = words.boxWords(detection);
  const item = element("li", "");
  item.value = number;
  item.title = raw;
  item.append(element("span", what), element("small", guesses));
  item.addEventListener("pointerenter", () => view.pointTo(number));
  item.addEventListener("pointerleave", () => view.pointTo(null));
  return item;
}
