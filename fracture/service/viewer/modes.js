// Which boxes are shown: the model, its modes and the slider.

import { $, element } from "./dom.js";
import * as words from "./words.js";

const MOST = 100; // of the slider's places
const LEAST_SCORE = 0.001; // a scale of ratios has no zero
const FLOOR = "screening"; // boxes are asked for from here on: they hold those of all stricter modes

/** What is chosen. `floor` is the point that boxes are asked for from, `usual` the card's default mode. */
export const shown = { threshold: 0, point: null, points: [], model: null, floor: null, usual: null };

/** Offer models; `choose` is called with one that a person takes, `changed` whenever other boxes are to be shown. */
export function offerModels(models, choose, changed) {
  const [first] = models.map((model) => choice("models", model.name, () => choose(model)));
  first.checked = true;
  setModel(models[0], changed);
}

/** Show a model's modes; the one that is chosen stays, by its name, where the model has it. */
export function setModel(model, changed) {
  const points = [...model.card.operating_points].sort((one, other) => one.threshold - other.threshold);
  const floor = points.find(({ name }) => name === FLOOR) ?? points[0];
  const own = shown.model && !shown.point ? shown.threshold : null;
  const before = shown.point?.name;
  const usual = points.find(({ name }) => name === model.card.default_mode) ?? floor;
  // Below the floor the service is not asked for boxes, so those modes would promise what the page cannot show.
  Object.assign(shown, { model, floor, usual, points: points.filter(({ threshold }) => threshold >= floor.threshold) });
  $("#model").textContent = [model.name, model.card.training?.finished].filter(Boolean).join(", ");
  for (const label of $("#modes").querySelectorAll("label")) label.remove();
  for (const point of shown.points) point.radio = choice("modes", point.name, () => setMode(point, changed));
  const mode = own === null ? (shown.points.find(({ name }) => name === before) ?? usual) : null;
  if (mode) return setMode(mode, changed);
  const threshold = Math.max(own ?? 0, least());
  $("#slider").value = placeOf(threshold);
  return setThreshold(threshold, changed);
}

/** Show the boxes from where the slider stands. */
export function slide(changed) {
  setThreshold(scoreAt($("#slider").valueAsNumber), changed);
}

/** Say where on the slider a score is: equal ratios are equally far apart, as modes lie close together among low scores. */
export function placeOf(threshold) {
  const [from, to] = [Math.log(lowest()), Math.log(Math.max(lowest(), threshold))];
  return from < 0 ? (MOST * (to - from)) / -from : 0;
}

function scoreAt(place) {
  return place > 0 ? Number((lowest() ** (1 - place / MOST)).toFixed(6)) : least();
}

function least() {
  return shown.floor?.threshold ?? 0;
}

function lowest() {
  return Math.max(least(), LEAST_SCORE);
}

/** Show the boxes from a threshold on: a mode's, or, without `point`, a person's own. */
function setThreshold(threshold, changed, point = null) {
  Object.assign(shown, { threshold, point });
  $("#threshold").textContent = words.score(threshold);
  $("#slider").setAttribute("aria-valuetext", words.score(threshold));
  if (!point) for (const { radio } of shown.points) radio.checked = false;
  $("#measured").replaceChildren(...measured(point));
  changed();
}

/** Give what was measured at a point: on test, and behind a fold, on the films that the mode was set on. */
function measured(point) {
  if (!point) return [element("p", "Your own threshold: nothing was measured there.")];
  const { test, set } = words.measuredWords(point, shown.model?.card.measured?.test);
  const fold = element("details", "");
  fold.open = !test.length;
  fold.append(element("summary", "On the films that this mode was set on"), ...set.map((line) => element("p", line)));
  return [...test.map((line) => element("p", line)), fold];
}

function setMode(point, changed) {
  point.radio.checked = true;
  $("#slider").value = placeOf(point.threshold);
  setThreshold(point.threshold, changed, point);
}

function choice(fieldset, name, choose) {
  const label = element("label", "");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = fieldset;
  radio.addEventListener("change", choose);
  label.append(radio, element("span", name));
  $(`#${fieldset}`).append(label);
  return radio;
}
