// Figures as pictures: curves, and values with their intervals. Drawn as SVG, out of numbers that are given.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [360, 300];
const FRAME = { left: 58, right: 12, top: 12, bottom: 40 };
const ROW_PX = 30;
const LABELS_PX = 150;

/**
 * Draw curves over two axes.
 * @param {{x: {title: string, most: number, ticks: number[]}, y: {title: string, most: number, ticks: number[]}}} axes
 * @param {{points: [number, number][], kind: string}[]} curves
 * @param {{x: number, y: number, text: string}[]} marks points with a name
 */
export function curves(title, { x, y }, curves, marks = []) {
  const picture = canvas(title, WIDTH, HEIGHT);
  const across = (value) => FRAME.left + (value / x.most) * (WIDTH - FRAME.left - FRAME.right);
  const down = (value) => HEIGHT - FRAME.bottom - (value / y.most) * (HEIGHT - FRAME.top - FRAME.bottom);
  for (const tick of y.ticks) {
    line(picture, "grid", across(0), down(tick), across(x.most), down(tick));
    text(picture, across(0) - 6, down(tick) + 4, share(tick), "end");
  }
  for (const tick of x.ticks) text(picture, across(tick), down(0) + 16, share(tick), "middle");
  text(picture, across(x.most / 2), HEIGHT - 6, x.title, "middle");
  const side = text(picture, 0, 0, y.title, "middle");
  side.setAttribute("transform", `translate(11 ${down(y.most / 2)}) rotate(-90)`);
  for (const { points, kind } of curves) {
    const path = points.filter(([at]) => at <= x.most).map(([at, value]) => `${across(at).toFixed(1)},${down(value).toFixed(1)}`);
    add(picture, "polyline", { points: path.join(" "), class: `curve ${kind}` });
  }
  let last = 0; // names stand below each other, so that none covers another
  for (const { x: at, y: value, text: name } of [...marks].sort((one, other) => other.y - one.y)) {
    last = Math.max(last + 14, down(value) + 14);
    add(picture, "circle", { cx: across(at), cy: down(value), r: 4.5, class: "dot" });
    text(picture, across(at) + 8, last, name, "start");
  }
  return picture;
}

/** Draw values with their intervals, a row each: {name, value, low, high, kind}; `most` is the axis' end. */
export function intervals(title, rows, ticks, most = 1) {
  const height = rows.length * ROW_PX + FRAME.top + 26;
  const picture = canvas(title, WIDTH, height);
  const across = (value) => LABELS_PX + (value / most) * (WIDTH - LABELS_PX - FRAME.right);
  for (const tick of ticks) {
    line(picture, "grid", across(tick), FRAME.top, across(tick), height - 24);
    text(picture, across(tick), height - 8, share(tick), "middle");
  }
  rows.forEach(({ name, value, low, high, kind = "" }, row) => {
    const y = FRAME.top + (row + 0.5) * ROW_PX;
    text(picture, LABELS_PX - 10, y + 4, name, "end");
    if (low !== null && low !== undefined) line(picture, `interval ${kind}`, across(low), y, across(high), y);
    add(picture, "circle", { cx: across(value), cy: y, r: 5, class: `dot ${kind}` });
  });
  return picture;
}

/** Draw values as bars, a row each: {name, value, text, kind}. */
export function bars(title, rows) {
  const height = rows.length * ROW_PX + FRAME.top;
  const picture = canvas(title, WIDTH, height);
  const most = Math.max(...rows.map(({ value }) => value));
  rows.forEach(({ name, value, text: said, kind = "" }, row) => {
    const y = FRAME.top + row * ROW_PX;
    const width = (value / most) * (WIDTH - LABELS_PX - 62);
    text(picture, LABELS_PX - 10, y + 17, name, "end");
    add(picture, "rect", { x: LABELS_PX, y: y + 3, width, height: ROW_PX - 8, class: `bar ${kind}` });
    text(picture, LABELS_PX + width + 6, y + 17, said, "start");
  });
  return picture;
}

function canvas(title, width, height) {
  const picture = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title })) {
    picture.setAttribute(name, value);
  }
  picture.classList.add("chart");
  return picture;
}

function add(picture, name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  picture.append(made);
  return made;
}

function line(picture, kind, x1, y1, x2, y2) {
  return add(picture, "line", { x1, y1, x2, y2, class: kind });
}

function text(picture, x, y, words, anchor) {
  const made = add(picture, "text", { x, y, "text-anchor": anchor });
  made.textContent = words;
  return made;
}

function share(value) {
  return String(Number(value.toFixed(2)));
}
