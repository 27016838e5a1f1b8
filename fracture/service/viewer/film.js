// A film on the screen: its greys through a window, where it lies, and the boxes over it.

import { listen } from "./gestures.js";
import { leader, places } from "./labels.js";
import { boxMark, otherMark, peoplesMark } from "./marks.js";
import { Ruler } from "./measure.js";
import { Pencil } from "./pencil.js";
import { spacingWords } from "./words.js";

const WHOLE = { centre: 127.5, width: 255 };
const MOST_ZOOM = 40;
const KEPT_PX = 48; // this much of a film stays in view however far it is moved
const LABEL_EM = { height: 1.62, letter: 0.585, baseline: 1.15 }; // of the letters' height

/** Give the greys 0 to 255 as they are shown through a window. */
export function lookup({ centre, width }, inverted) {
  const shown = new Uint8ClampedArray(256);
  for (let grey = 0; grey < 256; grey += 1) {
    const level = ((grey - centre) / width + 0.5) * 255;
    shown[grey] = inverted ? 255 - Math.min(255, Math.max(0, level)) : level;
  }
  return shown;
}

export class FilmView {
  /** Draw into a film card. */
  constructor(card) {
    this.card = card;
    this.viewport = card.querySelector(".viewport");
    this.canvas = card.querySelector("canvas");
    this.overlay = card.querySelector(".boxes");
    this.hud = card.querySelector(".hud");
    this.details = card.querySelector(".details");
    this.greys = null;
    this.frame = null; // of the boxes, {width, height}
    this.detections = [];
    this.marks = [];
    this.others = []; // the marks of further models
    this.sideBySide = []; // what several models say, this one's first; none where it is alone
    this.order = []; // all marks of models, the largest first
    this.truth = null; // boxes that radiologists drew, in pixels of the film
    this.own = []; // boxes that this reader drew
    this.wrong = new Set(); // numbers of boxes that this reader calls wrong
    // A finger is too coarse a thing to set a window by chance.
    this.drags = matchMedia("(pointer: coarse)").matches ? "move" : "window";
    this.ruler = new Ruler(this.overlay, card.querySelector(".length"));
    this.pencil = new Pencil((xyxy) => this.onDraw?.(xyxy));
    this.tools = { measure: this.ruler, draw: this.pencil };
    this.sketch = peoplesMark([0, 0, 0, 0], "own", "Your box, while it is drawn");
    this.onPlace = null;
    this.onBoxes = null;
    this.setUp();
    new ResizeObserver(() => (this.moved ? this.place() : this.fit())).observe(this.viewport);
    listen(this);
  }

  setUp() {
    this.window = { ...WHOLE };
    this.inverted = false;
    this.moved = false;
  }

  /** Put a picture in, or, as null, none. */
  show(bitmap) {
    this.greys = null;
    if (bitmap) {
      this.canvas.width = bitmap.width;
      this.canvas.height = bitmap.height;
      const brush = this.canvas.getContext("2d", { willReadFrequently: true });
      brush.drawImage(bitmap, 0, 0);
      this.image = brush.getImageData(0, 0, bitmap.width, bitmap.height);
      const rgba = this.image.data;
      this.greys = new Uint8Array(rgba.length / 4);
      for (let pixel = 0, at = 0; at < rgba.length; pixel += 1, at += 4) {
        this.greys[pixel] = 0.299 * rgba[at] + 0.587 * rgba[at + 1] + 0.114 * rgba[at + 2] + 0.5;
      }
    }
    this.fit();
    this.paint();
  }

  /** The size of what is shown, in pixels of the decoded film. */
  get size() {
    if (this.greys) return { width: this.canvas.width, height: this.canvas.height };
    return this.frame ?? { width: 1, height: 1 };
  }

  /** The size of the decoded film, in whose pixels boxes are. */
  get area() {
    return this.frame ?? this.size;
  }

  /**
   * Show these boxes, whose pixels are those of `frame`. `numbers` are their places in the whole list; `sideBySide` has
   * what several models say, {name, look, boxes, text} each, this one first.
   */
  setBoxes(detections, frame, numbers, sideBySide = []) {
    const area = ({ xyxy: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0);
    const [as = null, ...further] = sideBySide;
    this.detections = detections;
    this.frame = frame;
    this.sideBySide = sideBySide;
    this.marks = detections.map((detection, index) => this.mark(detection, numbers[index], as));
    this.others = further.flatMap((model) => model.boxes.map((detection) => this.listened(otherMark(detection, model))));
    // A small box inside a large one has to stay within reach.
    this.order = [...this.others, ...this.marks].sort((one, other) => area(other) - area(one));
    this.redraw();
    this.point(null);
    if (!this.greys) this.fit();
  }

  redraw() {
    this.drawn = [
      ...(this.truth ?? []).map((xyxy) => peoplesMark(xyxy, "drawn", "Drawn by radiologists")),
      ...this.own.map((xyxy, index) => peoplesMark(xyxy, "own", `Your box ${index + 1}`)),
    ];
    const groups = [...this.drawn, ...this.order, this.sketch].map(({ group }) => group);
    this.overlay.replaceChildren(...groups, this.ruler.group);
    if (this.greys) this.place();
  }

  mark(detection, number, as) {
    const mark = boxMark(detection, number, as);
    mark.group.classList.toggle("wrong", this.wrong.has(number));
    return this.listened(mark);
  }

  listened(mark) {
    for (const event of ["pointerenter", "focus"]) mark.group.addEventListener(event, () => this.point(mark));
    for (const event of ["pointerleave", "blur"]) mark.group.addEventListener(event, () => this.pointTo(null));
    return mark;
  }

  /** Show the boxes that this reader drew, [x0, y0, x1, y1] each, or hide them. */
  setOwn(boxes) {
    this.own = boxes;
    this.redraw();
  }

  showOwn(shown) {
    this.ownShown = shown;
    this.overlay.classList.toggle("corrected", shown);
  }

  /** Strike out the boxes with these numbers. */
  setWrong(numbers) {
    this.wrong = numbers;
    for (const { group, number } of this.marks) group.classList.toggle("wrong", numbers.has(number));
  }

  /** Say what is known of a box; of none as null, and of none while they are hidden. */
  point(pointed) {
    const mark = this.boxesHidden ? null : pointed;
    for (const other of this.order) other.group.classList.toggle("pointed", other === mark);
    this.details.textContent = mark ? mark.lines.join("\n") : "";
  }

  /** Point to a box by its number; without one to that in focus, if any. */
  pointTo(number) {
    const meant = (mark) => (number === null ? mark.group === document.activeElement : mark.number === number);
    this.point(this.order.find(meant) ?? null);
  }

  reset() {
    this.setUp();
    this.ruler.hide();
    this.fit();
    this.paint();
    this.onPlace?.();
  }

  invert() {
    this.inverted = !this.inverted;
    this.paint();
  }

  /** Show or hide the boxes; what is pressed is told by the button. */
  showBoxes(shown) {
    this.boxesHidden = !shown;
    this.point(null);
    this.place();
    this.onBoxes?.();
  }

  /** Show or hide what people drew. */
  showTruth(shown) {
    this.truthShown = shown;
    this.place();
  }

  /** Show a pixel of the film as one of the page's. */
  zoomToPixels() {
    this.zoom(1 / this.scale);
  }

  /** Lie as another film does: as much zoomed, the same part in the middle. */
  follow(other) {
    const [mine, its] = [this, other].map(({ viewport: { clientWidth: x, clientHeight: y } }) => ({ x: x / 2, y: y / 2 }));
    const share = (middle, at, size) => (middle - at) / (size * other.scale);
    this.scale = (this.fitted * other.scale) / other.fitted;
    this.x = mine.x - share(its.x, other.x, other.size.width) * this.size.width * this.scale;
    this.y = mine.y - share(its.y, other.y, other.size.height) * this.size.height * this.scale;
    this.moved = other.moved;
    this.place();
  }

  /** Zoom about a point of the viewport, its middle unless said. */
  zoom(factor, x = this.viewport.clientWidth / 2, y = this.viewport.clientHeight / 2) {
    const scale = Math.min(this.fitted * MOST_ZOOM, Math.max(this.fitted / 2, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.moved = true;
    this.place();
    this.onPlace?.();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.moved = true;
    this.place();
    this.onPlace?.();
  }

  /** Change the window by grey levels. */
  rewindow(dWidth, dCentre) {
    this.window.width = Math.min(1024, Math.max(2, this.window.width + dWidth));
    this.window.centre = Math.min(255, Math.max(0, this.window.centre + dCentre));
    this.paint();
  }

  fit() {
    const { width, height } = this.size;
    const { clientWidth, clientHeight } = this.viewport;
    this.fitted = Math.max(1e-6, Math.min(clientWidth / width, clientHeight / height));
    this.scale = this.fitted;
    this.x = (clientWidth - width * this.scale) / 2;
    this.y = (clientHeight - height * this.scale) / 2;
    this.moved = false;
    this.place();
  }

  /** How it lies now, for `putBack`. */
  get lies() {
    const { x, y, scale, fitted, moved } = this;
    return { x, y, scale, fitted, moved };
  }

  putBack(lies) {
    Object.assign(this, lies);
    this.place();
  }

  place() {
    const { width, height } = this.size;
    const [shownWidth, shownHeight] = [width * this.scale, height * this.scale];
    const within = (at, shown, room) => Math.min(room - KEPT_PX, Math.max(KEPT_PX - shown, at));
    this.x = within(this.x, shownWidth, this.viewport.clientWidth);
    this.y = within(this.y, shownHeight, this.viewport.clientHeight);
    this.tell();
    this.canvas.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.overlay.classList.toggle("hidden", Boolean(this.boxesHidden));
    this.overlay.classList.toggle("compared", Boolean(this.truthShown));
    const [boxes, others] = [this.marks, this.others].map((marks) => marks.map(({ rects, xyxy }) => this.put(rects, xyxy)));
    for (const { xyxy, rects } of this.drawn ?? []) this.put(rects, xyxy);
    const sketched = this.pencil.box;
    this.sketch.group.style.display = sketched ? "" : "none";
    if (sketched) this.put(this.sketch.rects, sketched);
    this.label(boxes, others);
    const { clientWidth, clientHeight } = this.viewport;
    const onScreen = ({ x, y }) => ({ x: this.onScreen(x, true), y: this.onScreen(y, false) });
    this.ruler.place(onScreen, { width: clientWidth, height: clientHeight });
  }

  /** Put rectangles where a box lies; give that place. */
  put(rects, xyxy) {
    const [x0, y0, x1, y1] = xyxy.map((edge, index) => this.onScreen(edge, index % 2 === 0));
    const box = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
    for (const rect of rects) {
      for (const [name, value] of Object.entries(box)) rect.setAttribute(name, value);
    }
    return box;
  }

  /** Put every label where it covers no box and no other label, with a line to its box where it had to move away. */
  label(boxes, others) {
    const { clientWidth: width, clientHeight: height } = this.viewport;
    if (!this.marks.length) return;
    const em = Number.parseFloat(getComputedStyle(this.marks[0].label).fontSize);
    const sizes = this.marks.map(({ label }) => (
      { width: LABEL_EM.letter * em * label.textContent.length, height: LABEL_EM.height * em }));
    const found = places(boxes.map((box, index) => ({ ...sizes[index], box })), { width, height }, others);
    this.marks.forEach(({ group, line, label }, index) => {
      const spot = found[index];
      group.classList.toggle("unlabelled", !spot);
      group.classList.toggle("led", Boolean(spot?.ring));
      if (!spot) return; // the list beside the film has it, and pointing to the box
      label.setAttribute("x", spot.x);
      label.setAttribute("y", spot.y + LABEL_EM.baseline * em);
      for (const [name, value] of Object.entries(leader(spot, boxes[index]))) line.setAttribute(name, value);
    });
  }

  onScreen(edge, horizontal) {
    const { size, area } = this;
    if (horizontal) return this.x + ((edge * size.width) / area.width) * this.scale;
    return this.y + ((edge * size.height) / area.height) * this.scale;
  }

  paint() {
    this.tell();
    if (!this.greys || this.painting) return;
    this.painting = requestAnimationFrame(() => {
      this.painting = null;
      if (!this.greys) return;
      const shown = lookup(this.window, this.inverted);
      const rgba = this.image.data;
      for (let pixel = 0, at = 0; at < rgba.length; pixel += 1, at += 4) {
        rgba[at] = rgba[at + 1] = rgba[at + 2] = shown[this.greys[pixel]];
        rgba[at + 3] = 255;
      }
      this.canvas.getContext("2d").putImageData(this.image, 0, 0);
    });
  }

  tell() {
    const { width, centre } = this.window;
    const told = [
      `Zoom ${Math.round(100 * this.scale)} %`, `window ${Math.round(width)}`, `level ${Math.round(centre)}`,
      this.inverted && "inverted", spacingWords(this.spacing),
    ];
    this.hud.textContent = this.greys ? told.filter(Boolean).join(", ") : "";
  }

  /** Say how far apart two pixels are, as [across, down] in mm; null where the film does not tell. */
  setSpacing(spacing) {
    this.spacing = spacing;
    this.ruler.spacing = spacing;
    this.tell();
  }
}
