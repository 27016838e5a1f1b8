// The front page: figures out of the files they were written to, none typed by hand.

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

/** Show a section's words and tables, or, where its file is not there, that it is not. */
async function fill(section, make) {
  try {
    await make($(`${section} .said`), (...table) => $(`${section} .tables`).append(tableOf(...table)));
  } catch {
    $(`${section} .said`).textContent = "These figures have not been measured yet, or cannot be loaded.";
  }
}

async function skill(said, show) {
  const { models } = await load("data/answers.json");
  const ids = [...new Set(models.map(({ card }) => card.model_id))];
  said.textContent = "Measured on films that the model was not made with, with 95 % intervals.";
  for (const id of ids) {
    const { data, box, film } = await load(`runs/${id}/test.json`);
    const { operating_points: points } = models.find(({ card }) => card.model_id === id).card;
    const whole = document.createElement("a");
    whole.href = `runs/${id}/test.html`;
    whole.textContent = `The whole report of ${id}`;
    said.append(" ", whole, ".");
    const about = `${id} on ${data.name}, ${data.split}: ${data.films} films, ${data.fractured} with a fracture`;
    show(about, [["figure"], ["value", "value (95 % interval)"]], [
      { figure: "Area under the ROC curve, by film", value: interval(film.auc) },
      { figure: "Average precision of boxes at IoU 0.5", value: interval(box.ap50) },
    ]);
    const columns = [["mode"], ["threshold", "score", 3], ["sensitivity"], ["specificity"]];
    show("By mode, film by film", columns, points.map(({ name, threshold }) => {
      const { sensitivity, specificity } = film.at[name];
      return { mode: name, threshold, sensitivity: interval(sensitivity), specificity: interval(specificity) };
    }));
  }
}

async function speed(said, show) {
  const { made, services, loads } = await load("data/bench.json");
  said.textContent = "This service beside a plain one, which calls the same network the usual way: "
    + `${made.cores} cores (${made.processor}), ${made.date}, version ${made.version}; `
    + `medians over ${made.rounds} rounds of ${made.seconds} s. Ratios are taken within a round.`;
  show("What each service takes", SERVICES, services);
  for (const network of new Set(loads.map((load) => load.network))) {
    const rows = loads.filter((load) => load.network === network);
    show(`${network} under load`, LOADS, rows.map((row) => ({ ...row, errors: total(row.errors) })));
  }
}

function interval({ value, low, high }) {
  if (value === null) return "not measured";
  const [middle, from, to] = [value, low, high].map((share) => share.toFixed(3));
  return `${middle} (${from} to ${to})`;
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

fill("#skill", skill);
fill("#speed", speed);
