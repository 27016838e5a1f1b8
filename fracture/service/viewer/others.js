// What further models say of the same films. Offered where answers of several models are at hand, and off until asked for.

import * as api from "./api.js";
import { $, element } from "./dom.js";
import { drawAs, lookOf } from "./looks.js";
import { shown } from "./modes.js";
import * as words from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

const known = []; // each model once, however it can be run: {id, model, look, label}
const chosen = new Set(); // of their ids

/** Offer the boxes of further models; `changed` is called when others are chosen. */
export function offerOthers(models, changed) {
  for (const model of models) {
    const id = idOf(model);
    if (!known.some((one) => one.id === id)) known.push({ id, model, look: lookOf(known.length) });
  }
  $("#others").hidden = known.length < 2;
  for (const one of known) {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(one.id);
      else chosen.delete(one.id);
      changed();
    });
    one.label = element("label", "");
    one.label.append(box, swatch(one.look), element("span", one.id));
    $("#others fieldset").append(one.label);
  }
  tidyOthers();
}

/** Leave the model that the page reads with out of those offered: its boxes are there anyway. */
export function tidyOthers() {
  for (const { id, label } of known) label.hidden = id === idOf(shown.model);
  document.body.classList.toggle("comparing", others().length > 0);
}

/** Ask the chosen models about films, once each. */
export async function askOthers(films) {
  const read = films.filter(({ answer, frame }) => answer?.detections && !frame);
  await Promise.all(read.map(async (film) => {
    film.others ??= new Map();
    for (const { id, model } of others()) {
      if (!film.others.has(id)) film.others.set(id, await api.detect([film.file], { model }).catch(() => null));
    }
  }));
}

/**
 * Give what several models say of a film, the page's own first; none where it is alone.
 * @returns {{name: string, look: object, text: string, boxes: object[]}[]}
 */
export function sideBySide(film, ownBoxes) {
  const further = others().filter(({ id }) => film.others?.get(id));
  if (!further.length) return [];
  const own = known.find(({ id }) => id === idOf(shown.model));
  return [own, ...further].map(({ id, look, model }) => {
    const answer = id === own.id ? film.answer : film.others.get(id);
    const boxes = id === own.id ? ownBoxes : visible(answer, thresholdOf(model));
    return { name: id, look, boxes, text: words.modelSaid(id, boxes.length, answer) };
  });
}

/** Make a row of a legend. */
export function legendRow({ look, text }) {
  const row = element("li", "");
  row.append(swatch(look), element("span", text));
  return row;
}

function others() {
  return known.filter(({ id }) => chosen.has(id) && id !== idOf(shown.model));
}

function idOf({ card }) {
  return `${card.model_id} ${card.version}`;
}

/** At a mode each model has its own threshold; a person's own score is one for all. */
function thresholdOf({ card }) {
  return card.operating_points.find(({ name }) => name === shown.point?.name)?.threshold ?? shown.threshold;
}

/** The box that a status rests on is never hidden. */
function visible({ detections, deciding_box: deciding = null }, threshold) {
  return detections.filter(({ confidence }, place) => confidence >= threshold || place === deciding);
}

function swatch(look) {
  const [picture, box] = ["svg", "rect"].map((name) => document.createElementNS(SVG, name));
  picture.setAttribute("viewBox", "0 0 34 20");
  picture.setAttribute("aria-hidden", "true");
  picture.classList.add("swatch");
  box.classList.add("line");
  for (const [name, value] of Object.entries({ x: 3, y: 3, width: 28, height: 14 })) box.setAttribute(name, value);
  drawAs(box, look);
  picture.append(box);
  return picture;
}
