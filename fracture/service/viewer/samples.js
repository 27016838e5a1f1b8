// Films to try, and what radiologists drew on them.

import { $, element } from "./dom.js";

/**
 * Offer films to try; `open` is called with the film's file and what is known of it.
 * @param {{title: string, source: string, file: () => Promise<File>, about: object}[]} samples
 */
export function offer(samples, open) {
  document.body.classList.toggle("samples", samples.length > 0);
  $("#samples ul").replaceChildren(...samples.map(({ title, source, file, about }) => {
    const [item, button, picture] = [element("li", ""), element("button", ""), document.createElement("img")];
    Object.assign(picture, { src: source, alt: "", loading: "lazy" });
    button.type = "button";
    button.append(picture, element("span", title));
    button.addEventListener("click", async () => open(await file(), about));
    item.append(button);
    return item;
  }));
}

/** Say whose film it is. */
export function credit({ image_id: id, licence }) {
  return `${id.replace("fracatlas/", "FracAtlas ")}, ${licence}`;
}

/** Say what radiologists found on a film. */
export function truth({ fractured, boxes }) {
  if (!fractured) return "The radiologists found no fracture on this film.";
  return boxes.length === 1
    ? "The radiologists drew one fracture, in a green box of long dashes."
    : `The radiologists drew ${boxes.length} fractures, in green boxes of long dashes.`;
}
