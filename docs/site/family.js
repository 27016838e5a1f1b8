// Several models judged alike: the section of the front page that a benchmark.json fills. Without one it stays away.

import { curves, intervals } from "./charts.js";

const MODE = "balanced"; // the one that page and service begin with
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const LONGEST = 20; // letters of a name that a picture has room for
const SKILL = [["model"], ["ap50", "AP50"], ["auc", "film AUC"], ["sensitivity"], ["specificity"], ["gained", "AP50 beside the first"]];
const COST = [
  ["model"],
  ["p50_ms", "median, ms", 0],
  ["p90_ms", "p90, ms", 0],
  ["p50_over_first", "median : first", 2],
  ["films_per_s", "films/s", 1],
  ["peak_mb", "memory, MB", 0],
  ["file_mb", "file, MB", 1],
  ["parameters_m", "parameters, M", 1],
];

/** Fill the section with a benchmark; `show` puts a table there, `draw` a picture with its caption. */
export function family({ data, made, models }, section, said, show, draw) {
  section.hidden = false;
  const { processor, cores } = made.machine;
  said.textContent = `The same ${data.films} films of ${data.name}, ${data.split}, read by each model and judged by the same code, `
    + `each at its own thresholds; version ${made.version}, ${made.date}. Bars are 95 % intervals over groups of films.`;
  const forest = (caption, title, key) => draw(caption, intervals(title, measured(models, key), TICKS));
  forest("Boxes: AP at IoU 0.5.", "AP50 by model", "ap50");
  forest("Films: AUC; at 0.5 it is a coin.", "Film AUC by model", "film_auc");
  const timed = models.filter(({ speed, skill }) => speed && skill.ap50.value !== null);
  if (timed.length) {
    const ticks = ticksTo(1.5 * Math.max(...timed.map(({ speed }) => speed.p50_ms))); // names need room on the right
    draw(
      `AP at IoU 0.5 against the time for a film, median of ${timed[0].speed.films} read one by one, all models in turns.`,
      curves("AP50 against time", { x: { title: "ms a film", most: ticks.at(-1), ticks }, y: { title: "AP50", most: 1, ticks: TICKS } },
        timed.filter(({ skill: { ap50 } }) => ap50.low !== null).map(({ speed: { p50_ms: x }, skill: { ap50 } }) => (
          { points: [[x, ap50.low], [x, ap50.high]], kind: "whisker" })),
        timed.map(({ name, speed, skill }) => ({ x: speed.p50_ms, y: skill.ap50.value, text: short(name) }))),
    );
  }
  show(`How good: at ${MODE}, films flagged by their scores`, SKILL, models.map(skillRow));
  show(`What it costs: ${cores} cores (${processor}); trust the ratios`, COST, models.map(costRow));
  section.querySelector(".notes").replaceChildren(...models.flatMap((model) => [...notes(model)]).map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
}

export function interval({ value, low, high }) {
  if (value === null) return "not measured";
  const given = (share) => share.toFixed(3);
  return low === null ? given(value) : `${given(value)} (${given(low)} to ${given(high)})`;
}

function measured(models, key) {
  return models.filter(({ skill }) => skill[key].value !== null).map(({ name, skill }) => ({ ...skill[key], name: short(name) }));
}

function skillRow({ name, skill, against_first: beside }) {
  const at = skill.at[MODE];
  const gained = beside?.rows.find((row) => row.name === "AP50")?.difference;
  return {
    model: name,
    ap50: interval(skill.ap50),
    auc: interval(skill.film_auc),
    sensitivity: at ? interval(at.sensitivity) : "",
    specificity: at ? interval(at.specificity) : "",
    gained: gained ? interval(gained) : "",
  };
}

function costRow({ name, speed, cost }) {
  const { peak_mb, file_bytes, parameters } = cost;
  return { model: name, ...speed, peak_mb, file_mb: file_bytes / 1e6, parameters_m: parameters && parameters / 1e6 };
}

/** Say where a model began and what its training was given, and what a reader must know of its figures. */
function* notes({ name, began, skill, refused, made_with: madeWith }) {
  const { arch, network, start, averaged, long_side_px: side, epochs, epochs_run: run, hours, train_films: films } = began;
  const given = [
    [arch, network].filter(Boolean).join(", "),
    `${side} px`,
    start ? `began with ${start}` : "its card does not say what it began with",
    averaged.length && `the mean of ${averaged.join(" and ")}`,
    run ?? epochs ? `${run ?? epochs} epochs${films ? ` of ${films} train films` : ""}` : "its card does not say how long it was trained",
    hours && `${hours} hours at most`,
  ];
  yield `${name}: ${given.filter(Boolean).join("; ")}.`;
  const unread = Object.keys(refused).length;
  if (unread) yield `${name} refused ${unread} of the films: its figures are of ${skill.films}.`;
  if (madeWith) yield `${name}: NOT A TEST: it was trained or its thresholds chosen on ${madeWith} of these films.`;
}

function short(name) {
  return name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}\u2026` : name;
}

/** Give some round numbers from 0 on, of which the last is at least this much. */
function ticksTo(most) {
  const rough = most / 4;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => one >= rough);
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step);
}
