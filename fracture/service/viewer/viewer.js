// The page: what a person does, and what comes of it.

import * as api from "./api.js";
import * as clinics from "./clinics.js";
import { $, element } from "./dom.js";
import { FilmView, isShownLocally } from "./film.js";
import { keyed } from "./key.js";
import { saveJson, savePicture } from "./save.js";
import * as words from "./words.js";

const LOOKING = "Looking for fractures";
const NOT_UNDERSTOOD = "The service's answer could not be understood.";
const ABOUT_FILMS = new Set([400, 413, 415, 422]);
const ABOUT_ALL_OF_THEM = new Set(["upload_too_large", "too_many_files"]);
const FLOOR = "screening"; // boxes are asked for from here on: they hold those of all stricter modes

const study = { films: [], answer: null, place: null, running: null };
const shown = { threshold: 0, point: null, points: [], model: null, floor: null, usual: null };
let loaded = null;
let unloaded = false;

// --- films in ---

function add(files) {
  const chosen = [...files];
  if (!chosen.length) return;
  for (const file of chosen) {
    const number = 1 + study.films.filter(({ frame }) => !frame).length;
    const film = newFilm(file, number);
    study.films.push(film);
    film.picture = showPicture(film);
  }
  tidy();
  read();
}

/** Make a film's card; `before` is the frame that comes before it in the same file. */
function newFilm(file, number, frame = 0, before = null) {
  const card = $("#film-card").content.firstElementChild.cloneNode(true);
  card.querySelector(".number").textContent = `${number}.`;
  card.querySelector(".name").textContent = file.name || "pasted film";
  if (before) before.card.after(card);
  else $("#films").append(card);
  const view = new FilmView(card, `Film ${number}${frame ? `, frame ${frame + 1}` : ""}`);
  const film = { file, frame, number, card, view, answer: null };
  card.querySelector(".tools").addEventListener("click", (event) => use(film, event.target.dataset.do));
  return film;
}

async function showPicture(film) {
  try {
    if (await isShownLocally(film.file)) film.view.show(await createImageBitmap(film.file));
    else await showRendered(film);
  } catch {
    await showRendered(film);
  }
}

async function showRendered(film) {
  try {
    film.view.show(await createImageBitmap(await withKey(() => api.render(film.file, film.frame))));
    film.unseen = false;
  } catch {
    film.view.show(null); // why it cannot be shown is said by the answer, or else by the card
    film.unseen = true;
  }
}

function use(film, what) {
  const { view, card } = film;
  const press = (name, pressed) => card.querySelector(`[data-do=${name}]`).setAttribute("aria-pressed", pressed);
  const actions = {
    zoomIn: () => view.zoom(1.25),
    zoomOut: () => view.zoom(0.8),
    dragMoves: () => { view.dragMoves = true; },
    dragWindows: () => { view.dragMoves = false; },
    invert: () => view.invert(),
    reset: () => view.reset(),
    save: () => savePicture(view, shown, words.modelWords(study.answer), `${fileName(film)}.png`),
  };
  if (!what) return;
  actions[what]();
  press("dragMoves", view.dragMoves);
  press("dragWindows", !view.dragMoves);
  press("invert", view.inverted);
}

function fileName({ number, frame }) {
  return `fracture-film-${number}${frame ? `-frame-${frame + 1}` : ""}`;
}

// --- answers ---

async function read() {
  study.running?.abort();
  const running = new AbortController();
  const sent = study.films.filter(({ frame }) => !frame);
  Object.assign(study, { running, answer: null });
  say(null);
  update();
  const clock = tellProgress(study.films);
  try {
    await loaded;
    const how = { model: shown.model, mode: shown.usual?.name, conf: shown.floor?.threshold, place: study.place };
    const answer = await withKey(() => api.detect(sent.map(({ file }) => file), how, running.signal));
    if (study.running === running) await take(answer, sent);
  } catch (problem) {
    if (study.running !== running) return;
    if (sent.length === 1 && ABOUT_FILMS.has(problem.status)) sent[0].answer = problem;
    else say(problem, read, ABOUT_FILMS.has(problem.status) && !ABOUT_ALL_OF_THEM.has(problem.code));
  } finally {
    clearInterval(clock);
    if (study.running === running) {
      for (const { card } of study.films) card.classList.remove("reading");
      study.running = null;
      update();
    }
  }
}

/** Give every answer to its film, by the file it came in and the frame it is of that file. */
async function take(answer, sent) {
  const answers = answer.films ?? [{ source: 0, frame: 0, ...answer }];
  const known = (one) => one.source in sent
    && ((Array.isArray(one.detections) && one.image_size && one.frame >= 0) || typeof one.detail === "string");
  const whole = answer.study && Array.isArray(answers) && answers.every(known);
  if (!whole || !sent.every((_, source) => answers.some((one) => one.source === source))) {
    throw new words.Problem(200, NOT_UNDERSTOOD);
  }
  const before = study.films;
  study.answer = answer;
  study.films = sent.flatMap((first, source) => {
    const own = answers.filter((one) => one.source === source);
    return framesOf(first, own, before.filter(({ file }) => file === first.file));
  });
  for (const film of before) if (!study.films.includes(film)) film.card.remove();
  await Promise.all(sent.map(matchFrame));
}

/** Give the films of one file, each with its answer: those that are on the page, and new ones for further frames. */
function framesOf(first, answers, there) {
  const films = [];
  for (const one of answers) {
    const { frame = 0 } = one;
    let film = there.find((other) => other.frame === frame);
    if (!film) {
      const last = films.at(-1);
      film = newFilm(first.file, first.number, frame, last);
      // One after the other: each needs the whole file to be sent again.
      film.picture = last.picture.then(() => showFrame(film));
    }
    film.answer = one;
    const which = answers.length > 1 ? ` Frame ${frame + 1} of ${answers.length},` : "";
    film.card.querySelector(".number").textContent = `${first.number}.${which}`;
    films.push(film);
  }
  return films;
}

async function showFrame(film) {
  if (!study.films.includes(film)) return;
  await showRendered(film);
  updateFilm(film);
}

/** Boxes are in pixels of the decoded film: where the browser decoded to another size, take the service's picture. */
async function matchFrame(film) {
  await film.picture;
  const frame = film.answer.image_size;
  if (!frame) return;
  const { width, height } = film.view.size;
  // A film that could be read can be shown: the first try may have found the service busy.
  if (film.unseen || width !== frame.width || height !== frame.height) await showRendered(film);
}

/** Say on every film that it is being read, and for how long; give the clock to be stopped. */
function tellProgress(films) {
  const began = Date.now();
  const tell = () => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    for (const { card } of films) {
      card.classList.add("reading");
      card.querySelector(".busy span").textContent = `${LOOKING}${seconds < 2 ? "" : `, ${seconds} s`}`;
    }
  };
  tell();
  return setInterval(tell, 1000);
}

// --- what is on the page ---

function tidy() {
  document.body.classList.toggle("empty", !study.films.length);
  document.body.classList.toggle("several", study.films.length > 1);
}

function update() {
  tidy();
  for (const film of study.films) updateFilm(film);
  const whole = study.running ? null : study.answer?.study;
  const failed = whole?.refused ?? study.films.filter(({ answer }) => answer && !answer.detections).length;
  const unread = failed ? `${words.plural(failed, "file was", "files were")} not read.` : "";
  $("#status").dataset.status = whole?.status ?? "";
  $("#status strong").textContent = study.running ? LOOKING : whole ? words.statusWords(whole.status) : "";
  $("#status span").textContent = whole ? words.studyWords(whole, unread) : unread;
  $("#facts").textContent = whole ? `Read by ${words.modelWords(study.answer)}` : "";
  $("#save-json").disabled = !study.answer;
  if (!study.running) clinics.show(study.answer, study.films, study.place);
}

function updateFilm({ card, view, answer, unseen }) {
  const found = answer?.detections;
  const problem = card.querySelector(".problem");
  problem.hidden = !answer || Boolean(found);
  card.classList.toggle("refused", !problem.hidden && !view.greys);
  problem.textContent = problem.hidden ? "" : words.problemWords(answer);
  const verdict = card.querySelector(".verdict");
  verdict.dataset.status = (found && answer.status) || "";
  verdict.textContent = found ? words.statusWords(answer.status) : "";
  if (!found) {
    view.setBoxes([], null, []);
    for (const part of [".count", ".advice"]) card.querySelector(part).textContent = "";
    for (const part of [".found", ".warnings"]) card.querySelector(part).replaceChildren();
    return;
  }
  const numbered = found.map((detection, index) => [detection, index + 1]);
  // The box that the status rests on is never hidden.
  const above = numbered.filter(([{ confidence }, number]) => confidence >= shown.threshold
    || number - 1 === (answer.deciding_box ?? null));
  view.headline = words.statusWords(answer.status);
  view.hidden = found.length - above.length;
  view.setBoxes(above.map(([detection]) => detection), answer.image_size, above.map(([, number]) => number));
  const hidden = found.length - above.length;
  const count = `${words.plural(above.length, "box", "boxes")} shown`;
  // A box below the slider is shown only where the status rests on it.
  view.besides = above.some(([{ confidence }]) => confidence < shown.threshold);
  const besides = view.besides ? "; the one below the slider is what the status rests on" : "";
  card.querySelector(".count").textContent = `${count}${hidden ? `, ${hidden} hidden by the slider` : ""}${besides}.`;
  card.querySelector(".found").replaceChildren(...above.map(([detection, number]) => row(view, detection, number)));
  const notes = [...(answer.warnings ?? [])];
  if (unseen) notes.push("The picture of this film cannot be shown; the boxes are where they are on it.");
  card.querySelector(".warnings").replaceChildren(...notes.map((text) => element("li", text)));
  card.querySelector(".advice").textContent = answer.recommendation ?? "";
}

function row(view, detection, number) {
  const [what, guesses] = words.boxWords(detection);
  const item = element("li", "");
  item.value = number;
  item.append(element("span", what), element("small", guesses));
  item.addEventListener("pointerenter", () => view.pointTo(number));
  item.addEventListener("pointerleave", () => view.pointTo(null));
  return item;
}

/** Say what went wrong; `none` where it did so for every film, and the problem is the first one's. */
function say(problem, again = null, none = false) {
  $("#banner").hidden = !problem;
  // What is no refusal came of an answer in another shape than the page knows.
  const known = !problem || problem instanceof words.Problem ? problem : new words.Problem(200, NOT_UNDERSTOOD);
  const first = none ? "None of these films can be read. The first: " : "";
  $("#banner p").textContent = known ? `${first}${words.problemWords(known)}` : "";
  $("#banner button").onclick = again;
}

// --- which boxes ---

async function load() {
  unloaded = false;
  try {
    const [models, studies] = [await withKey(api.models), await api.examples()];
    document.body.classList.toggle("recorded", studies.length > 0);
    for (const { title, files } of studies) offer(title, files);
    const [first] = models.map((model) => choice("models", model.name, () => choose(model)));
    first.checked = true;
    setModel(models[0]);
  } catch (problem) {
    unloaded = true;
    say(problem, () => { say(null); loaded = load(); });
  }
}

/** Offer a recorded study. */
function offer(title, files) {
  const button = element("button", title);
  button.type = "button";
  button.addEventListener("click", () => { clear(); add(files); });
  $("#examples .pair").append(button);
}

function choose(model) {
  setModel(model);
  if (study.films.length) read();
}

function setModel(model) {
  const points = [...model.card.operating_points].sort((one, other) => one.threshold - other.threshold);
  const floor = points.find(({ name }) => name === FLOOR) ?? points[0];
  const own = shown.model && !shown.point;
  const before = shown.point?.name;
  const usual = points.find(({ name }) => name === model.card.default_mode) ?? floor;
  // Below the floor the service is not asked for boxes, so those modes would promise what the page cannot show.
  Object.assign(shown, { model, floor, usual, points: points.filter(({ threshold }) => threshold >= floor.threshold) });
  $("#model").textContent = [model.name, model.card.training?.finished].filter(Boolean).join(", ");
  $("#slider").min = floor?.threshold ?? 0;
  for (const label of $("#modes").querySelectorAll("label")) label.remove();
  for (const point of shown.points) point.radio = choice("modes", point.name, () => setMode(point));
  const mode = own ? null : (shown.points.find(({ name }) => name === before) ?? usual);
  if (mode) setMode(mode);
  else setThreshold($("#slider").valueAsNumber);
}

function choice(fieldset, name, choose) {
  const label = element("label", "");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = fieldset;
  radio.addEventListener("change", choose);
  label.append(radio, element("span", name));
  $(`#${fieldset}`).append(label);
  return radio;
}

function setMode(point) {
  point.radio.checked = true;
  $("#slider").value = point.threshold;
  setThreshold(point.threshold, point);
}

function setThreshold(threshold, point = null) {
  Object.assign(shown, { threshold, point });
  $("#threshold").textContent = words.percent(threshold);
  $("#slider").setAttribute("aria-valuetext", words.percent(threshold));
  if (!point) for (const { radio } of shown.points) radio.checked = false;
  const lines = point ? words.measuredWords(point, shown.model?.card.measured?.test) : ["Your own threshold: nothing was measured there."];
  $("#measured").replaceChildren(...lines.map((line) => element("p", line)));
  for (const film of study.films) updateFilm(film);
}

// --- clinics ---

function lookAround(latitude, longitude) {
  study.place = clinics.rounded(latitude, longitude);
  [$("#lat").value, $("#lng").value] = [study.place.lat, study.place.lng];
  clinics.say(study.films.length ? "Looking for clinics" : "Clinics are listed with the answer for a film.");
  if (study.films.length) read();
}

// --- the key ---

/** Make a call with a key where one is needed; what failed for want of it, as the card, is then fetched again. */
function withKey(call) {
  return keyed(call, () => { if (unloaded && call !== api.models) loaded = load(); });
}

// --- wiring ---

function clear() {
  study.running?.abort();
  for (const { card } of study.films) card.remove();
  Object.assign(study, { films: [], answer: null, place: null, running: null });
  $("#place").reset();
  say(null);
  update();
}

for (const input of [$("#choose"), $("#photo")]) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // so that the same film can be chosen again
  });
}
$("#clear").addEventListener("click", clear);
$("#slider").addEventListener("input", (event) => setThreshold(event.target.valueAsNumber));
$("#save-json").addEventListener("click", () => saveJson(study.answer, "fracture-answer.json"));
$("#locate").addEventListener("click", () => clinics.locate(lookAround));
$("#place").addEventListener("submit", (event) => {
  event.preventDefault();
  lookAround($("#lat").valueAsNumber, $("#lng").valueAsNumber);
});
document.addEventListener("paste", (event) => add(event.clipboardData.files));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  add(event.dataTransfer.files);
});

update();
loaded = load();
