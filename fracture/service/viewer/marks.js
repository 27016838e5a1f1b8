// Boxes as they are drawn over a film: the model's, with a label, and those of people.

import { drawAs } from "./looks.js";
import { boxWords, chanceWords, rating } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make the mark of a box that the model drew; `number` is its place in the whole list. Beside other models, `as` has its
 * name and its look there.
 */
export function boxMark(detection, number, as = null) {
  const { group, rects } = rectangles([rating(detection)]);
  if (as) drawAs(rects[1], as.look);
  const lines = [as?.name, ...boxWords(detection), detection.notes].filter(Boolean);
  const [line, label] = ["line", "text"].map((name) => document.createElementNS(SVG, name));
  line.classList.add("leader");
  label.textContent = `${number} · ${chanceWords(detection)}`;
  group.append(line, label);
  group.dataset.number = number;
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "img");
  group.setAttribute("aria-label", `Box ${number}. ${boxWords(detection).join(". ")}`);
  return { detection, xyxy: detection.bbox_xyxy, group, rects, line, label, number, lines };
}

/** Make the mark of a box that another model drew. */
export function otherMark(detection, { name, look }) {
  const { group, rects } = rectangles([]);
  const lines = [name, ...boxWords(detection)].filter(Boolean);
  drawAs(rects[1], look);
  group.classList.add("other");
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "img");
  group.setAttribute("aria-label", lines.join(". "));
  return { xyxy: detection.bbox_xyxy, group, rects, lines, look };
}

/** Make the mark of a box that people drew, by its kind: "drawn" by radiologists, "own" by this reader. */
export function peoplesMark(xyxy, kind, words) {
  const { group, rects } = rectangles([]);
  group.classList.add(kind);
  group.setAttribute("role", "img");
  group.setAttribute("aria-label", words);
  return { group, xyxy, rects };
}

function rectangles(classes) {
  const group = document.createElementNS(SVG, "g");
  const rects = ["halo", "line"].map((name) => {
    const rect = document.createElementNS(SVG, "rect");
    rect.classList.add(name, ...classes);
    return rect;
  });
  group.append(...rects);
  return { group, rects };
}
