// Mouse, touch and keys on a film.

const STEP_PX = 40;
const ZOOM_STEP = 1.25;

/** Let a film's view be zoomed, moved, windowed and drawn on. */
export function listen(view) {
  new Gestures(view);
}

class Gestures {
  constructor(view) {
    this.view = view;
    this.fingers = new Map();
    const { viewport } = view;
    viewport.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { left, top } = viewport.getBoundingClientRect();
      // A wheel that counts in lines says 3 where one that counts in pixels says 100.
      const turn = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1);
      view.zoom(Math.exp(-Math.min(300, Math.max(-300, turn)) / 500), event.clientX - left, event.clientY - top);
    }, { passive: false });
    viewport.addEventListener("dblclick", () => view.reset());
    viewport.addEventListener("contextmenu", (event) => event.preventDefault());
    viewport.addEventListener("pointerdown", (event) => this.begin(event));
    viewport.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) viewport.addEventListener(end, (event) => this.end(event));
    viewport.addEventListener("keydown", (event) => this.press(event));
  }

  begin(event) {
    const { view } = this;
    this.fingers.set(event.pointerId, event);
    this.dragging = event.shiftKey || event.button > 0 ? "move" : view.drags;
    if (this.fingers.size === 1) this.tool?.begin(this.onFilm(event));
    else for (const tool of Object.values(view.tools)) tool.cancel(); // a second finger zooms
    view.viewport.setPointerCapture(event.pointerId);
  }

  get tool() {
    return this.view.tools[this.dragging];
  }

  drag(event) {
    const before = this.fingers.get(event.pointerId);
    if (!before) return;
    const { view } = this;
    const [dx, dy] = [event.clientX - before.clientX, event.clientY - before.clientY];
    if (this.fingers.size === 2) {
      const [other] = [...this.fingers.values()].filter(({ pointerId }) => pointerId !== event.pointerId);
      const apart = (finger) => Math.hypot(finger.clientX - other.clientX, finger.clientY - other.clientY);
      const { left, top } = view.viewport.getBoundingClientRect();
      const middle = [(event.clientX + other.clientX) / 2 - left, (event.clientY + other.clientY) / 2 - top];
      view.move(dx / 2, dy / 2);
      view.zoom(apart(event) / Math.max(1, apart(before)), ...middle);
    } else if (this.fingers.size === 1 && this.dragging === "move") {
      view.move(dx, dy);
    } else if (this.fingers.size === 1 && this.tool) {
      this.tool.reach(this.onFilm(event));
      view.place();
    } else if (this.fingers.size === 1) {
      view.rewindow(dx, dy); // to the right more greys, up brighter
    }
    this.fingers.set(event.pointerId, event);
  }

  end(event) {
    const { view } = this;
    this.fingers.delete(event.pointerId);
    for (const tool of Object.values(view.tools)) {
      if (event.type === "pointercancel") tool.cancel();
      else tool.end((view.scale * view.size.width) / view.area.width);
    }
    view.place();
  }

  /** Give where on the film the pointer is, in pixels of the decoded film: at its edge where it is beyond. */
  onFilm(event) {
    const { view } = this;
    const { left, top } = view.viewport.getBoundingClientRect();
    const within = (at, shown, most) => Math.min(most, Math.max(0, (at * most) / (shown * view.scale)));
    return {
      x: within(event.clientX - left - view.x, view.size.width, view.area.width),
      y: within(event.clientY - top - view.y, view.size.height, view.area.height),
    };
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { view } = this;
    const click = (what) => view.card.querySelector(`[data-do=${what}]`).click();
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const keys = {
      "+": () => view.zoom(ZOOM_STEP),
      "=": () => view.zoom(ZOOM_STEP),
      "-": () => view.zoom(1 / ZOOM_STEP),
      i: () => click("invert"),
      b: () => click("boxes"),
      0: () => click("reset"),
    };
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key];
      if (event.shiftKey) view.rewindow(8 * dx, 8 * dy);
      else view.move(STEP_PX * dx, STEP_PX * dy);
    } else if (Object.hasOwn(keys, event.key)) {
      keys[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  }
}
