// A length on a film: from where a finger or the mouse goes down to where it comes up.

import { length, lengthWords } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST_PX = 3; // on the screen: less is a slip of the hand
const GAP = 0.4; // between the line and its label, of the label's height
const RIM_PX = 3; // around the letters of a label

export class Ruler {
  /** Draw into a film's overlay; `said` is the element that says what the length is. */
  constructor(overlay, said) {
    this.said = said;
    this.group = document.createElementNS(SVG, "g");
    this.group.classList.add("ruler");
    this.line = document.createElementNS(SVG, "line");
    this.label = document.createElementNS(SVG, "text");
    this.group.append(this.line, this.label);
    overlay.append(this.group);
    this.ends = null; // in pixels of the decoded film
    this.spacing = null; // mm a pixel, [across, down]
    this.hide();
  }

  get text() {
    return this.ends ? length(...this.reaches, this.spacing) : "";
  }

  /** What was measured, in a sentence; "" where nothing was. */
  get words() {
    return this.ends ? lengthWords(...this.reaches, this.spacing) : "";
  }

  get reaches() {
    const [from, to] = this.ends;
    return [to.x - from.x, to.y - from.y];
  }

  begin(point) {
    this.ends = [point, point];
    this.drawing = true;
  }

  reach(point) {
    if (this.drawing) this.ends[1] = point;
  }

  /** Forget the line that is being drawn. */
  cancel() {
    if (this.drawing) this.hide();
  }

  /** Keep what was drawn; `pixel` is the length of one of the film's on the screen. */
  end(pixel) {
    if (this.drawing && Math.hypot(...this.reaches) * pixel < LEAST_PX) this.hide();
    this.drawing = false;
    this.said.textContent = this.words;
  }

  hide() {
    this.ends = null;
    this.drawing = false;
    this.group.style.display = "none";
    this.said.textContent = "";
  }

  /** Put it where it belongs in a view of {width, height}; `onScreen` gives the place of a point of the film. */
  place(onScreen, view) {
    if (!this.ends) return;
    this.group.style.display = "";
    const [from, to] = this.ends.map(onScreen);
    const ends = { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
    for (const [name, value] of Object.entries(ends)) this.line.setAttribute(name, value);
    this.label.textContent = this.text;
    const { width, height } = this.label.getBBox();
    const spot = besides(from, to, { width: width + 2 * RIM_PX, height: height + 2 * RIM_PX }, view);
    this.label.setAttribute("x", spot.x + RIM_PX);
    this.label.setAttribute("y", spot.y + RIM_PX + 0.8 * height); // its baseline
  }
}

/** Give the corner of a label beside the middle of a line, within the view. */
export function besides(from, to, { width, height }, view) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const long = Math.hypot(dx, dy) || 1;
  // Square to the line and upwards, or to the right of one that stands.
  const side = dx < 0 || (dx === 0 && dy < 0) ? -1 : 1;
  const [across, up] = [(side * dy) / long, (-side * dx) / long];
  const away = GAP * height + (Math.abs(across) * width + Math.abs(up) * height) / 2;
  const within = (middle, size, most) => Math.max(0, Math.min(most - size, middle - size / 2));
  return {
    x: within((from.x + to.x) / 2 + across * away, width, view.width),
    y: within((from.y + to.y) / 2 + up * away, height, view.height),
  };
}
