// What the figures say, in words. Pure functions.

const STATUS = {
  fracture: "Fracture suspected",
  doubt: "In doubt",
  "no fracture": "No box reaches a threshold", // and never that there is no fracture
  outside: "Outside the intended use",
};
const AT = "at the detector";
const RATING = { definite: "likely", suspicious: "possible", unrated: "not rated" };

/** A refusal of the service, or of the way to it, in words. */
export class Problem extends Error {
  /** `films` has the problem of each film by its place, where they were refused together. */
  constructor(status, detail, code = "", retryAfter = null, films = null) {
    super(detail);
    this.films = films;
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export function percent(score) {
  return `${(100 * score).toFixed(score < 0.1 ? 1 : 0)} %`;
}

export function plural(count, thing, things = `${thing}s`) {
  return `${count} ${count === 1 ? thing : things}`;
}

/** Give the headline of a status; of none, where a model lacks what it takes, as null. */
export function statusWords(status) {
  return status === null ? "No status" : (STATUS[status] ?? String(status));
}

/** Say what a study's status rests on, how much of it was `unread`, and what to do. */
export function studyWords({ note }, unread) {
  return [sentence(note), unread, "Have a doctor read the films."].filter(Boolean).join(" ");
}

/** Name the model that answered, and its day where that is known. */
export function modelWords(answer) {
  if (!answer?.model) return "";
  const { id, version, date } = answer.model;
  return date ? `${id} ${version}, ${date}` : `${id} ${version}`;
}

/** Tell how sure a box is: definite, suspicious or unrated. */
export function rating({ certainty }) {
  return certainty ?? "unrated";
}

/** Say how sure a box is in two words: "likely 62 %". */
export function chanceWords(detection) {
  const { chance } = detection;
  return [RATING[rating(detection)], known(chance) ? percent(chance) : ""].filter(Boolean).join(" ");
}

/** Give a box's lines: what it is, the best guesses, the raw score. */
export function boxWords(detection) {
  const sure = capital(RATING[rating(detection)]);
  const { chance } = detection;
  const means = known(chance) ? `, as on ${hundred(chance)} of 100 films with such a best box` : "";
  const guesses = [detection.fracture_type, detection.severity].filter(Boolean).join(", ");
  return [`${sure}: ${detection.class}${means}`, guesses, `raw score ${score(detection.confidence)}`];
}

/** Say how many films that score as this one show a fracture, and where that was counted; "" where nobody knows. */
export function filmWords({ film_score: whole }, calibration) {
  if (!known(whole?.chance)) return "";
  const share = known(calibration?.prevalence) ? `, where ${hundred(calibration.prevalence)} of 100 films have one` : "";
  return `Of 100 films that score like this one, about ${hundred(whole.chance)} show a fracture${share}.`;
}

/** Give a raw score as a number: it is no probability. */
export function score(raw) {
  return raw.toFixed(3);
}

/** Give a length in mm, or without `spacing` ([across, down] in mm a pixel) in pixels. */
export function length(across, down, spacing) {
  if (!spacing) return `${Math.hypot(across, down).toFixed(1)} px`;
  return `${Math.hypot(across * spacing[0], down * spacing[1]).toFixed(1)} mm ${AT}`;
}

/** Say what a length is, and what it is not. */
export function lengthWords(across, down, spacing) {
  const what = `Length: ${length(across, down, spacing)}`;
  if (!spacing) return `${what}. The film does not state its pixel size.`;
  return `${what}, where the body is shown larger than it is, unless the film's pixel size was calibrated.`;
}

/** Say how large a pixel is; "" where the film does not tell. */
export function spacingWords(spacing) {
  if (!spacing) return "";
  const [across, down] = spacing.map((mm) => Number(mm.toPrecision(3)));
  return `pixel ${across === down ? across : `${across} x ${down}`} mm ${AT}`;
}

/** Say how many boxes are shown and why others are not; `besides` tells of one that stays below the slider. */
export function countWords({ shown, hidden, besides, off }) {
  const left = hidden ? `, ${hidden} hidden by the slider` : "";
  if (off) return shown ? `Boxes are switched off: ${shown} not shown${left}.` : `0 boxes shown${left}.`;
  const stays = besides ? "; the one below the slider is what the status rests on" : "";
  return `${plural(shown, "box", "boxes")} shown${left}${stays}.`;
}

/** Say what one of several models finds on a film. */
export function modelSaid(name, boxes, { status, film_score: whole }) {
  const scored = known(whole?.value) ? `film score ${score(whole.value)}` : "";
  return [`${name}: ${plural(boxes, "box", "boxes")}`, statusWords(status), scored].filter(Boolean).join("; ");
}

/** Say what was measured at an operating point, a sentence each: {test, set}, on test and on what it was set on. */
export function measuredWords(point, test = null) {
  const on = test?.modes?.[point.name];
  const tested = on?.threshold === point.threshold && on.sensitivity.value !== null && on.specificity.value !== null;
  const tests = tested ? [`On films that were kept for a test, of 100 with a fracture it flagged ${hundred(on.sensitivity.value)}, `
    + `of 100 without one ${hundred(1 - on.specificity.value)} (${test.films}).`] : [];
  const lines = [
    rate(point.sensitivity, "with a fracture", "it flags about"),
    rate(point.specificity, "without a fracture", "it leaves unmarked about"),
    `Measured on ${count(point.sensitivity)} films with and ${count(point.specificity)} without a fracture `
      + `(${point.measured_on}), the very films this mode was set on: on others, and in other hospitals, expect less.`,
  ];
  if (!point.reached) lines.push(`Its target (${point.rule}) was not reached.`);
  return { test: tests, set: lines };
}

/** Say what a correction comes to, before it is kept; `own` boxes are drawn by the reader. */
export function correctionWords(said, own) {
  if (!said) return "";
  if (said.truth === "cannot tell") return "The film stays undecided: nobody learns from it.";
  const wrong = said.wrong.length ? `${plural(said.wrong.length, "box is", "boxes are")} wrong` : "";
  if (said.truth === "no fracture") return sentence(["nothing on this film is a fracture", wrong].filter(Boolean).join(": "));
  const right = said.boxes.length - own;
  const parts = [
    right && `${plural(right, "box is", "boxes are")} right`, wrong, own && `${plural(own, "box is", "boxes are")} yours`,
  ];
  if (!said.boxes.length) parts.push("the fracture is marked nowhere yet");
  return sentence(parts.filter(Boolean).join(", "));
}

/** Say that a correction was kept. */
export function keptWords({ sha256 }) {
  return `Kept. The film is known by its SHA-256, ${sha256.slice(0, 12)}...`;
}

export function distance(metres) {
  if (metres === null || metres === undefined) return "";
  return metres < 950 ? `${Math.round(metres / 10) * 10} m` : `${(metres / 1000).toFixed(1)} km`;
}

/** Say what went wrong and what to do. */
export function problemWords(problem) {
  const words = sentence(problem.detail ?? problem.message) || "Something went wrong.";
  const wait = Number.parseInt(problem.retryAfter, 10);
  // A detail may say so itself.
  return wait > 0 && !/try again/i.test(words) ? `${words} Try again in ${plural(wait, "second")}.` : words;
}

function known(number) {
  return number !== null && number !== undefined;
}

/** Give a share as so many of a hundred. */
function hundred(share) {
  const many = Math.round(100 * share);
  return many === 0 && share > 0 ? "fewer than 1" : String(many);
}

function capital(words) {
  return words[0].toUpperCase() + words.slice(1);
}

/** Write what the service says in passing as a sentence. */
function sentence(said) {
  if (!said) return "";
  const words = capital(said);
  return /[.!?]$/.test(words) ? words : `${words}.`;
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
