// The buttons below a film.

/**
 * Do what a button of a film's card says.
 * @param {{view: FilmView, card: HTMLElement}} film
 * @param {{remove: () => void, save: () => void}} others what concerns more than the film's view
 */
export function use(film, button, others) {
  if (!button) return;
  const { view, card } = film;
  const pressed = () => {
    const now = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", now);
    return now;
  };
  const dragging = (what) => {
    view.drags = what;
    for (const other of ["move", "window", "measure", "draw"]) press(film, other, other === what);
  };
  const actions = {
    zoomIn: () => view.zoom(1.25),
    zoomOut: () => view.zoom(0.8),
    pixels: () => view.zoomToPixels(),
    move: () => dragging("move"),
    window: () => dragging("window"),
    measure: () => dragging("measure"),
    draw: () => {
      dragging("draw");
      view.viewport.scrollIntoView({ block: "nearest" }); // its button is below the film
    },
    correct: () => {
      const now = pressed();
      card.querySelector(".correct").hidden = !now;
      if (!now && view.drags === "draw") dragging("move");
    },
    invert: () => view.invert(),
    boxes: () => view.showBoxes(pressed()),
    truth: () => {
      const now = pressed();
      view.showTruth(now);
      card.querySelector(".truth").hidden = !now;
    },
    reset: () => view.reset(),
    ...others,
  };
  actions[button.dataset.do]();
  press(film, "invert", view.inverted);
}

/** Show whether a button is pressed. */
export function press({ card }, what, pressed) {
  card.querySelector(`[data-do=${what}]`).setAttribute("aria-pressed", pressed);
}
