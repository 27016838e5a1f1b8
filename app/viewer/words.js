// What the figures say, in words. Pure functions.

const STATUS = {
  fracture: [
    "Fracture suspected",
    "At least one box reaches the high-specificity threshold. Have a doctor read the films.",
  ],
  doubt: [
    "In doubt",
    "At least one box reaches the high-sensitivity threshold, none the high-specificity one. "
      + "Have a doctor read the films.",
  ],
  "no fracture": ["No box reaches a threshold", "This does not rule out a fracture."],
};

export function percent(score) {
  return `${(100 * score).toFixed(score < 0.1 ? 1 : 0)} %`;
}

export function plural(count, thing, things = `${thing}s`) {
  return `${count} ${count === 1 ? thing : things}`;
}

/** Give the status of one film by its boxes; of a study the service says it. */
export function statusOf(detections) {
  if (detections.some(isDefinite)) return "fracture";
  return detections.length ? "doubt" : "no fracture";
}

/** Give [headline, explanation]. */
export function statusWords(status) {
  return STATUS[status] ?? [String(status), ""];
}

export function isDefinite(detection) {
  return detection.certainty === "definite";
}

/** Give a box's lines: what it is, then the best guesses. */
export function boxWords(detection) {
  const what = `${isDefinite(detection) ? "Definite" : "Suspicious"}, score ${percent(detection.confidence)}`;
  return [`${what}: ${detection.class}`, [detection.fracture_type, detection.severity].filter(Boolean).join(", ")];
}

/** Say what was measured at an operating point, a sentence each. */
export function measuredWords(point) {
  const lines = [
    rate(point.sensitivity, "with a fracture", "it flags about"),
    rate(point.specificity, "without a fracture", "it leaves unmarked about"),
    `Measured on ${count(point.sensitivity)} films with and ${count(point.specificity)} without a fracture `
      + `(${point.measured_on}); other hospitals' films will differ.`,
  ];
  if (!point.reached) lines.push(`Its target (${point.rule}) was not reached.`);
  return lines;
}

export function distance(metres) {
  if (metres === null || metres === undefined) return "";
  return metres < 950 ? `${Math.round(metres / 10) * 10} m` : `${(metres / 1000).toFixed(1)} km`;
}

/** Say what went wrong and what to do. */
export function problemWords(problem) {
  const said = problem.detail ?? problem.message;
  const words = said ? said[0].toUpperCase() + said.slice(1) : "Something went wrong.";
  const sentence = /[.!?]$/.test(words) ? words : `${words}.`;
  const wait = Number.parseInt(problem.retryAfter, 10);
  return wait > 0 ? `${sentence} Try again in ${plural(wait, "second")}.` : sentence;
}

function rate(estimate, which, what) {
  if (estimate?.value === null || estimate?.value === undefined) {
    return `Films ${which}: not measured${estimate?.note ? ` (${estimate.note})` : ""}.`;
  }
  const [value, low, high] = [estimate.value, estimate.low, estimate.high].map((share) => Math.round(100 * share));
  return `Of 100 films ${which} ${what} ${value} (${low} to ${high}).`;
}

function count(estimate) {
  return estimate?.n ?? "no";
}
