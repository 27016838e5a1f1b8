// What a person can take away: the film as it is shown with its boxes, and the answer.

import { percent, plural, rating } from "./words.js";

const NOT_A_DEVICE = "Not a medical device. Not a diagnosis. Research and education only.";
const LEAST_SIDE_PX = 900;
const COLOURS = { bar: "#12161c", text: "#ebeef2" };
const LINES = {
  definite: { colour: "#40b8ff", dashes: [], meaning: "solid: definite" },
  suspicious: { colour: "#ffc43d", dashes: [9, 7], meaning: "dashed: suspicious" },
  unrated: { colour: "#c3ccd4", dashes: [2, 5], meaning: "dotted: not rated" },
};

/** Save a film with the boxes it shows, in its window; `shown` has the threshold, `model` is who found them. */
export async function savePicture(view, shown, model, fileName) {
  const drawn = picture(view, shown, model);
  save(await new Promise((done) => drawn.toBlob(done, "image/png")), fileName);
}

export function saveJson(content, fileName) {
  save(new Blob([`${JSON.stringify(content, null, 2)}\n`], { type: "application/json" }), fileName);
}

function picture(view, { threshold, model: { card } }, model) {
  const { width, height } = view.size;
  const scale = Math.max(1, LEAST_SIDE_PX / Math.max(width, height));
  const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
  const unit = Math.max(across, down) / LEAST_SIDE_PX;
  const boxes = view.detections.length;
  const hidden = view.hidden ? `, ${plural(view.hidden, "box", "boxes")} below ${percent(threshold)} left out` : "";
  const besides = view.besides ? ", and the box that decided" : "";
  const kinds = new Set(view.detections.map(rating));
  const from = leasts(card.operating_points);
  const lines = [
    `${[view.headline, boxes ? `${plural(boxes, "area")} marked` : "no area marked"].filter(Boolean).join(": ")}${hidden}`,
    [...Object.keys(LINES).filter((kind) => kinds.has(kind)).map((kind) => LINES[kind].meaning + (from[kind] ?? "")),
      boxes ? `shown from ${percent(threshold)} on${besides}` : ""].filter(Boolean).join("    "),
    model,
    NOT_A_DEVICE,
  ].filter(Boolean);
  const sheet = document.createElement("canvas");
  sheet.width = across;
  sheet.height = Math.round(down + (lines.length * 22 + 16) * unit);
  const brush = sheet.getContext("2d");
  brush.fillStyle = COLOURS.bar;
  brush.fillRect(0, 0, sheet.width, sheet.height);
  brush.drawImage(view.canvas, 0, 0, across, down);
  const place = [across / (view.frame?.width ?? width), down / (view.frame?.height ?? height)];
  // The best box goes on last, so that nothing covers it.
  for (const detection of [...view.detections].reverse()) box(brush, detection, place, unit);
  brush.fillStyle = COLOURS.text;
  lines.forEach((line, row) => {
    brush.font = `${15 * unit}px system-ui, sans-serif`;
    brush.fillText(line, 10 * unit, down + (22 * row + 24) * unit, across - 20 * unit);
  });
  return sheet;
}

/** Name the score from which a box is rated so: the card's two thresholds, as the service's own pictures name them. */
function leasts(points) {
  const [screening, specific] = ["screening", "specific"].map((name) => points.find((point) => point.name === name));
  if (!screening || !specific) return {};
  const text = (score) => `, score ${percent(score)} or more`;
  return {
    definite: text(specific.threshold), suspicious: text(Math.min(screening.threshold, specific.threshold)),
  };
}

function box(brush, detection, [sx, sy], unit) {
  const [x0, y0, x1, y1] = detection.bbox_xyxy;
  const [x, y, bottom] = [x0 * sx, y0 * sy, y1 * sy];
  const { colour, dashes } = LINES[rating(detection)];
  brush.strokeStyle = colour;
  brush.lineWidth = 2.5 * unit;
  brush.setLineDash(dashes.map((length) => length * unit));
  brush.strokeRect(x, y, (x1 - x0) * sx, bottom - y);
  brush.font = `600 ${17 * unit}px system-ui, sans-serif`;
  const text = percent(detection.confidence);
  const top = y < 26 * unit ? bottom + 3 * unit : y - 26 * unit;
  brush.fillStyle = brush.strokeStyle;
  brush.fillRect(x, top, brush.measureText(text).width + 10 * unit, 23 * unit);
  brush.fillStyle = COLOURS.bar;
  brush.fillText(text, x + 5 * unit, top + 17 * unit);
}

function save(blob, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  // The browser may still be reading it when click returns.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
