// How the boxes of several models on one film are drawn, by a model's place: as in the pictures of `fracture compare`.

const PALETTE = ["#56b4e9", "#e69f00", "#cc79a7", "#f0e442", "#d55e00", "#009e73"]; // of Okabe and Ito
const STYLES = [[], [10, 8], [3, 7], [12, 7, 3, 7]];

/** Give a model's colour and dashes; the first model's line is solid. */
export function lookOf(place) {
  return { colour: PALETTE[place % PALETTE.length], dashes: STYLES[place % STYLES.length] };
}

/** Draw an SVG line or rectangle so. */
export function drawAs(shape, { colour, dashes }) {
  shape.style.stroke = colour;
  shape.style.strokeDasharray = dashes.length ? dashes.join(" ") : "none";
}
