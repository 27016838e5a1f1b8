// What a person can take away: the film as it is shown with its boxes, and the answer.

import { leader, places } from "./labels.js";
import { besides } from "./measure.js";
import { chanceWords, plural, rating, score } from "./words.js";

const NOT_A_DEVICE = "Not a medical device. Not a diagnosis. Research and education only.";
const LEAST_SIDE_PX = 900;
const ROW_PX = 22;
const FONT = (px) => `${px}px system-ui, sans-serif`;
const COLOURS = { bar: "#12161c", text: "#ebeef2", ruler: "#ffffff" };
const LINES = {
  definite: { colour: "#40b8ff", dashes: [], meaning: "solid: likely" },
  suspicious: { colour: "#ffc43d", dashes: [9, 7], meaning: "dashed: possible" },
  unrated: { colour: "#c3ccd4", dashes: [2, 5], meaning: "dotted: not rated" },
  people: { colour: "#7fe3a1", dashes: [18, 5], meaning: "green, long dashes: drawn by radiologists" },
  own: { colour: "#7fe3a1", dashes: [], meaning: "green, solid: drawn by the reader" },
  wrong: { colour: "#c3ccd4", dashes: [2, 5], meaning: "dotted: called wrong by the reader" },
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
  const [as, ...further] = view.boxesHidden ? [] : view.sideBySide;
  const boxes = view.boxesHidden ? [] : view.marks.map(({ detection, number }) => (
    { ...detection, kind: view.wrong.has(number) ? "wrong" : (as?.look ?? rating(detection)) }));
  const people = [
    ...(view.truthShown ? (view.truth ?? []) : []).map((xyxy) => ["people", xyxy]),
    ...(view.ownShown ? view.own : []).map((xyxy) => ["own", xyxy]),
  ];
  const kinds = new Set([...boxes.map(({ kind }) => kind), ...people.map(([kind]) => kind)]);
  const from = leasts(card.operating_points);
  const legend = Object.keys(LINES).filter((kind) => kinds.has(kind)).map((kind) => ({ kind, text: LINES[kind].meaning + (from[kind] ?? "") }));
  if (as) legend.unshift(...[as, ...further].map(({ look, text }) => ({ kind: look, text })));
  const brush = document.createElement("canvas").getContext("2d");
  brush.font = FONT(15 * unit);
  const room = across - 20 * unit;
  const measured = view.ruler.ends ? [view.ruler.words] : [];
  const said = [headline(view, threshold), ...view.warnings, "", ...measured, model, NOT_A_DEVICE];
  const lines = said.flatMap((line) => (line ? wrapped(brush, line, room) : [""]));
  const rows = lines.length - 1 + legend.length;
  brush.canvas.width = across;
  brush.canvas.height = Math.round(down + (rows * ROW_PX + 16) * unit);
  brush.fillStyle = COLOURS.bar;
  brush.fillRect(0, 0, brush.canvas.width, brush.canvas.height);
  brush.drawImage(view.canvas, 0, 0, across, down);
  const place = [across / (view.frame?.width ?? width), down / (view.frame?.height ?? height)];
  for (const [kind, xyxy] of people) stroke(brush, kind, unit, rectangle(xyxy, place));
  const rectangles = boxes.map(({ bbox_xyxy: xyxy }) => rectangle(xyxy, place));
  if (as) for (const { look, xyxy } of view.others) stroke(brush, look, unit, rectangle(xyxy, place));
  // The best box goes on last, so that nothing covers it.
  for (const [index, detection] of [...boxes.entries()].reverse()) stroke(brush, detection.kind, unit, rectangles[index]);
  if (view.ruler.ends) rule(brush, view.ruler, place, { width: across, height: down }, unit);
  const apart = as ? view.others.map(({ xyxy }) => area(rectangle(xyxy, place))) : [];
  label(brush, boxes, rectangles, { width: across, height: down }, unit, apart);
  brush.font = FONT(15 * unit);
  let row = 0;
  const next = () => down + (ROW_PX * (row += 1) + 2) * unit;
  for (const line of lines) {
    brush.fillStyle = COLOURS.text;
    if (line) brush.fillText(line, 10 * unit, next());
    else for (const entry of legend) explain(brush, entry, next(), unit);
  }
  return brush.canvas;
}

/** Say the status, how many boxes are drawn and how many are not. */
function headline(view, threshold) {
  const boxes = view.boxesHidden ? 0 : view.detections.length;
  const drawn = boxes ? `${plural(boxes, "area")} marked from a score of ${score(threshold)} on` : "no area marked";
  const left = view.hidden + view.detections.length - boxes;
  const hidden = left ? `, ${plural(left, "box", "boxes")} left out` : "";
  const besides = view.besides && boxes ? ", and the box that decided" : "";
  return `${[view.headline, drawn].filter(Boolean).join(": ")}${besides}${hidden}`;
}

/** Give a text in lines that fit. */
function wrapped(brush, text, room) {
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && brush.measureText(longer).width <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Give how a kind of box is drawn; of a model's own look, that. */
function lineOf(kind) {
  return LINES[kind] ?? kind;
}

/** Draw a line of the legend: the kind of box as it is drawn, and what it means. */
function explain(brush, { kind, text }, y, unit) {
  stroke(brush, kind, unit, [10 * unit, y - 12 * unit, 30 * unit, 13 * unit]);
  brush.fillStyle = COLOURS.text;
  brush.fillText(text, 50 * unit, y, brush.canvas.width - 60 * unit);
}

function stroke(brush, kind, unit, rectangle) {
  const { colour, dashes } = lineOf(kind);
  brush.strokeStyle = colour;
  brush.lineWidth = 2.5 * unit;
  brush.setLineDash(dashes.map((length) => length * unit));
  brush.strokeRect(...rectangle);
}

/** Name the score from which a box is rated so: the card's two thresholds, as the service's own pictures name them. */
function leasts(points) {
  const [screening, specific] = ["screening", "specific"].map((name) => points.find((point) => point.name === name));
  if (!screening || !specific) return {};
  const text = (least) => `, score ${score(least)} or more`;
  return {
    definite: text(specific.threshold), suspicious: text(Math.min(screening.threshold, specific.threshold)),
  };
}

function rectangle([x0, y0, x1, y1], [sx, sy]) {
  return [x0 * sx, y0 * sy, (x1 - x0) * sx, (y1 - y0) * sy];
}

function area([x, y, width, height]) {
  return { x, y, width, height };
}

/** Draw a length that was measured. */
function rule(brush, { ends, text }, [sx, sy], view, unit) {
  const [from, to] = ends.map(({ x, y }) => ({ x: x * sx, y: y * sy }));
  brush.font = `600 ${FONT(17 * unit)}`;
  brush.setLineDash([]);
  const size = { width: brush.measureText(text).width + 10 * unit, height: 23 * unit };
  const spot = besides(from, to, size, view);
  for (const [colour, width] of [[COLOURS.bar, 5], [COLOURS.ruler, 2.5]]) {
    brush.strokeStyle = colour;
    brush.lineWidth = width * unit;
    brush.beginPath();
    brush.moveTo(from.x, from.y);
    brush.lineTo(to.x, to.y);
    brush.stroke();
  }
  brush.fillStyle = COLOURS.bar;
  brush.fillRect(spot.x, spot.y, size.width, size.height);
  brush.fillStyle = COLOURS.ruler;
  brush.fillText(text, spot.x + 5 * unit, spot.y + 17 * unit);
}

/** Write beside every box how sure it is, where that covers no box, with a line to it where it had to move away. */
function label(brush, boxes, rectangles, view, unit, apart) {
  brush.font = `600 ${FONT(17 * unit)}`;
  const labels = boxes.map((detection, index) => {
    const text = `${detection.kind === "wrong" ? "called wrong, " : ""}${chanceWords(detection)}`;
    return { text, width: brush.measureText(text).width + 10 * unit, height: 23 * unit, box: area(rectangles[index]) };
  });
  places(labels, view, apart).forEach((spot, index) => {
    if (!spot) return;
    const { colour } = lineOf(boxes[index].kind);
    const { x1, y1, x2, y2 } = leader(spot, labels[index].box);
    brush.setLineDash([]);
    brush.strokeStyle = colour;
    brush.lineWidth = unit;
    brush.beginPath();
    brush.moveTo(x1, y1);
    brush.lineTo(x2, y2);
    brush.stroke();
    brush.fillStyle = colour;
    brush.fillRect(spot.x, spot.y, spot.width, spot.height);
    brush.fillStyle = COLOURS.bar;
    brush.fillText(labels[index].text, spot.x + 5 * unit, spot.y + 17 * unit);
  });
}

function save(blob, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  // The browser may still be reading it when click returns.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
