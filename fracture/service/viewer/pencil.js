// A box drawn on a film: from where a finger or the mouse goes down to where it comes up.

const LEAST_PX = 4; // on the screen: less is a slip of the hand

/** What a drag draws while a film is corrected. */
export class Pencil {
  /** @param {(xyxy: number[]) => void} onBox told each box, in pixels of the decoded film */
  constructor(onBox) {
    this.onBox = onBox;
    this.from = null;
    this.to = null;
  }

  begin(point) {
    [this.from, this.to] = [point, point];
  }

  reach(point) {
    this.to = point;
  }

  cancel() {
    this.from = null;
  }

  /** The box as it is now; null where nothing is being drawn. */
  get box() {
    if (!this.from) return null;
    const [xs, ys] = [[this.from.x, this.to.x], [this.from.y, this.to.y]].map((ends) => ends.sort((one, other) => one - other));
    return [xs[0], ys[0], xs[1], ys[1]];
  }

  /** Hand over what was drawn; `pixel` is the length of one of the film's on the screen. */
  end(pixel) {
    const { box } = this;
    this.cancel();
    if (box && (box[2] - box[0]) * pixel >= LEAST_PX && (box[3] - box[1]) * pixel >= LEAST_PX) {
      this.onBox(box.map((edge) => Math.round(edge * 10) / 10));
    }
  }
}
