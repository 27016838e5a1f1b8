// A length on a film: from where a finger or the mouse goes down to where it comes up.

import { length } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

export class Ruler {
  /** Draw into a film's overlay. */
  constructor(overlay) {
    this.group = document.createElementNS(SVG, "g");
    this.group.classList.add("ruler");
    this.line = document.createElementNS(SVG, "line");
    this.label = document.createElementNS(SVG, "text");
    this.group.append(this.line, this.label);
    overlay.append(this.group);
    this.ends = null; // in pixels of what is shown
    this.spacing = null; // mm a pixel, [across, down]
    this.hide();
  }

  get text() {
    if (!this.ends) return "";
    const [from, to] = this.ends;
    return length(to.x - from.x, to.y - from.y, this.spacing);
  }

  begin(point) {
    this.ends = [point, point];
  }

  reach(point) {
    this.ends[1] = point;
  }

  hide() {
    this.ends = null;
    this.group.style.display = "none";
  }

  /** Put it where it belongs; `onScreen` gives the place of a point of the film. */
  place(onScreen) {
    if (!this.ends) return;
    this.group.style.display = "";
    const [from, to] = this.ends.map(onScreen);
    const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
    for (const [name, value] of Object.entries(ends)) this.line.setAttribute(name, value);
    this.label.textContent = this.text;
    this.label.setAttribute("x", Math.max(from.x, to.x) + 8);
    this.label.setAttribute("y", (from.y + to.y) / 2 - 6);
  }
}
