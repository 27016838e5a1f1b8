// Where the labels of boxes go: beside them, on nothing that matters.

const GAP_PX = 5;
const RINGS = 14; // of places tried around a box, each further out
const RING_PX = 16;

/**
 * Give a place for every label, in order: on no box, on no other label, within the view; null where there is none.
 * @param {{width: number, height: number, box: {x: number, y: number, width: number, height: number}}[]} labels
 * @param {{width: number, height: number}} view
 * @param {{x: number, y: number, width: number, height: number}[]} boxes that have no label, and that none may cover
 * @returns {({x: number, y: number, ring: number} | null)[]} `ring` 0 is at the box, more is further away
 */
export function places(labels, view, boxes = []) {
  const taken = [...boxes, ...labels.map(({ box }) => box)];
  return labels.map(({ width, height, box }) => {
    const spot = firstFree(around(box, width, height), (at) => isWithin(at, view) && taken.every((other) => isApart(at, other)));
    if (spot) taken.push(spot);
    return spot;
  });
}

/** Say where a line from a label to its box begins and ends. */
export function leader(spot, box) {
  const nearest = (at, from, length) => Math.min(from + length, Math.max(from, at));
  const [middleX, middleY] = [spot.x + spot.width / 2, spot.y + spot.height / 2];
  const [x2, y2] = [nearest(middleX, box.x, box.width), nearest(middleY, box.y, box.height)];
  return { x1: nearest(x2, spot.x, spot.width), y1: nearest(y2, spot.y, spot.height), x2, y2 };
}

function* around({ x, y, width: across, height: down }, width, height) {
  for (let ring = 0; ring < RINGS; ring += 1) {
    const out = GAP_PX + ring * RING_PX;
    const [left, right, above, below] = [x - width - out, x + across + out, y - height - out, y + down + out];
    const spots = [
      [x, above], [x, below], [right, y], [left, y], [x + across - width, above], [x + across - width, below],
      [right, y + down - height], [left, y + down - height], [right, above], [left, above], [right, below], [left, below],
    ];
    for (const [spotX, spotY] of spots) yield { x: spotX, y: spotY, width, height, ring };
  }
}

function firstFree(spots, isFree) {
  for (const spot of spots) if (isFree(spot)) return spot;
  return null;
}

function isWithin({ x, y, width, height }, view) {
  return x >= 0 && y >= 0 && x + width <= view.width && y + height <= view.height;
}

function isApart(one, other) {
  return one.x >= other.x + other.width || other.x >= one.x + one.width
    || one.y >= other.y + other.height || other.y >= one.y + one.height;
}
