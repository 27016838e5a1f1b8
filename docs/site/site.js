// The front page: figures out of the files they were written to, none typed by hand.

import { bars, curves, intervals } from "./charts.js";
import { family, interval } from "./family.js";
import { followFooter } from "./viewer/media.js";

const $ = (selector) => document.querySelector(selector);

const SERVICES = [
  ["network"],
  ["service"],
  ["start_s", "ready, s", 2],
  ["first_film_ms", "first film, ms", 0],
  ["rss_mb", "RSS, MB", 0],
  ["pss_mb", "PSS, MB", 0],
  ["missing", "not measured"],
];
const LOADS = [
  ["film"],
  ["clients", "clients", 0],
  ["service"],
  ["p50_ms", "p50, ms", 0],
  ["p95_ms", "p95, ms", 0],
  ["films_per_s", "films/s", 1],
  ["cpu_s_per_film", "CPU s/film", 3],
  ["films_per_s_over_plain", "films/s : plain", 2],
  ["p50_over_plain", "p50 : plain", 2],
  ["p50_over_bare", "p50 : bare network", 2],
  ["errors", "errors", 0],
  ["differ", "answers that differ", 0],
];

const STATUS = {
  fracture: "Fracture suspected", doubt: "In doubt", "no fracture": "No box reaches a threshold", outside: "Outside the intended use",
};
const SOURCES = [
  ["test", "own test"],
  ["second_source", "second source"],
  ["development", "development set"],
];
const FEW = 20; // of fewer normal films an AUC says little
const TENTHS = [0, 0.25, 0.5, 0.75, 1];

/** Show a section's words, pictures and tables, or, where its file is not there, that it is not. */
async function fill(section, make) {
  try {
    const show = (...table) => $(`${section} .tables`).append(tableOf(...table));
    const draw = (caption, picture) => $(`${section} .charts`).append(captioned(caption, picture));
    await make($(`${section} .said`), show, draw);
  } catch {
    $(`${section} .said`).textContent = "These figures have not been measured yet, or cannot be loaded.";
  }
}

/** Show the films to try, each with what the model says of it. */
async function films() {
  const [{ films: known }, { films: order, models }] = [await load("viewer/samples/samples.json"), await load("data/answers.json")];
  for (const { file, title } of known) {
    const answer = models[0].answers[order.indexOf(file)];
    const [item, link, picture, name, said] = ["li", "a", "img", "strong", "span"].map((tag) => document.createElement(tag));
    Object.assign(picture, { src: `viewer/samples/${file}`, alt: "", loading: "lazy" });
    link.href = `viewer/#${file}`;
    name.textContent = title;
    said.textContent = STATUS[answer.status] ?? answer.status;
    said.dataset.status = answer.status;
    link.append(picture, name, said);
    item.append(link);
    $("#films ul").append(item);
  }
}

async function skill(said, show, draw) {
  const { models } = await load("data/answers.json");
  const id = models[0].card.model_id;
  const reports = await Promise.all(SOURCES.map(async ([file, name]) => ({ name, ...await load(`runs/${id}/${file}.json`) })));
  const { data, box, film, slices } = reports[0];
  const { operating_points: points } = models[0].card;
  said.textContent = `${id} on ${data.name}, ${data.split}: ${data.films} films that it was not made with, ${data.fractured} with a `
    + "fracture. Bars are 95 % intervals over groups of films. ";
  const whole = document.createElement("a");
  whole.href = `runs/${id}/test.html`;
  whole.textContent = "The whole report";
  said.append(whole, ".");

  const roc = film.roc.false_positive_rate.map((rate, at) => [rate, film.roc.sensitivity[at]]);
  const modes = points.map(({ name }) => {
    const { sensitivity, specificity } = film.at[name];
    return { x: 1 - specificity.value, y: sensitivity.value, text: name };
  });
  const axis = (title) => ({ title, most: 1, ticks: TENTHS });
  draw(
    `ROC, film by film, by the score alone, with the three modes: area ${interval(film.auc)}.`,
    curves("ROC", { x: axis("normal films flagged"), y: axis("fractured films flagged") },
      [{ points: [[0, 0], [1, 1]], kind: "chance" }, { points: roc, kind: "" }], modes),
  );
  const { false_positives_per_film: per, sensitivity } = box.froc.curve;
  draw(
    `FROC: fractures found against false boxes a film. AP at IoU 0.5: ${interval(box.ap50)}.`,
    curves("FROC", { x: { title: "false boxes a film", most: 2, ticks: [0, 0.5, 1, 1.5, 2] }, y: axis("fractures found") },
      [{ points: per.map((rate, at) => [rate, sensitivity[at]]), kind: "" }]),
  );
  const rows = [
    ...reports.filter(({ data: { films: all, fractured } }) => all - fractured >= FEW).map(({ name, film: { auc } }) => ({ ...auc, name: `AUC, ${name}` })),
    ...reports.filter(({ box: { ap50 } }) => ap50.value !== null).map(({ name, box: { ap50 } }) => ({ ...ap50, name: `AP, ${name}`, kind: "boxes" })),
  ];
  draw(
    `Own test against other sources. Film AUC: at 0.5 it is a coin (${reports[2].data.films} films of a source that no training saw; it was looked at when the model was chosen). AP of boxes at IoU 0.5 `
      + `(${reports[1].data.films} held-back films of the second source).`,
    intervals("By source", rows, TENTHS),
  );
  draw(
    "Fractured films flagged, by region, in the balanced mode; in brackets how many there were.",
    intervals("Sensitivity by region", Object.entries(slices.region).map(([name, { fractured, at }]) => ({
      ...at.balanced.sensitivity, name: `${name} (${fractured})`,
    })), TENTHS),
  );
  const columns = [["mode"], ["threshold", "score", 3], ["sensitivity"], ["specificity"]];
  show("By mode, as the service flags films", columns, points.map(({ name, threshold }) => {
    const { sensitivity: found, specificity: spared } = film.flagged[name];
    return { mode: name, threshold, sensitivity: interval(found), specificity: interval(spared) };
  }));
}

async function speed(said, show, draw) {
  const { made, services, loads } = await load("data/bench.json");
  said.textContent = "This service beside a plain one, which calls the same network the usual way: "
    + `${made.cores} cores (${made.processor}), ${made.date}, version ${made.version}; `
    + `medians over ${made.rounds} rounds of ${made.seconds} s. Ratios are taken within a round.`;
  const network = loads[0].network;
  const many = loads.filter((one) => one.network === network && one.film === loads[0].film && one.clients === 16);
  if (many.length) {
    draw(
      `Films a second of 16 clients, ${network}.`,
      bars("Films a second", many.map(({ service, films_per_s: rate }) => ({
        name: service, value: rate, text: rate.toFixed(1), kind: service === "plain" ? "plain" : "",
      }))),
    );
  }
  show("What each service takes", SERVICES, services);
  for (const of of new Set(loads.map((one) => one.network))) {
    const rows = loads.filter((one) => one.network === of);
    show(`${of} under load`, LOADS, rows.map((row) => ({ ...row, errors: total(row.errors) })));
  }
}

function captioned(caption, picture) {
  const [figure, title] = ["figure", "figcaption"].map((name) => document.createElement(name));
  title.textContent = caption;
  figure.append(title, picture);
  return figure;
}

function total(counts) {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Make a table; a column is [name, title, digits], and without digits one of words. */
function tableOf(caption, columns, rows) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const [name, title = name, digits] of columns) head.append(cell("th", title, digits));
  const body = table.createTBody();
  for (const row of rows) {
    body.insertRow().append(...columns.map(([name, , digits]) => {
      const known = row[name] !== null && row[name] !== undefined;
      return cell("td", known ? (digits === undefined ? row[name] : row[name].toFixed(digits)) : "", digits);
    }));
  }
  const [figure, title, scroll] = ["figure", "figcaption", "div"].map((name) => document.createElement(name));
  title.textContent = caption;
  scroll.tabIndex = 0; // so that a keyboard can scroll it
  scroll.append(table);
  figure.append(title, scroll);
  return figure;
}

function cell(name, text, digits) {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.toggle("word", digits === undefined);
  if (name === "th") made.scope = "col";
  return made;
}

async function load(path) {
  const response = await fetch(new URL(path, document.baseURI));
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

followFooter();
films();
fill("#skill", skill);
fill("#family", async (...to) => family(await load("data/benchmark.json"), $("#family"), ...to));
fill("#speed", speed);
