// The page: what a person does, and what comes of it.

import * as api from "./api.js";
import { countBoxes, updateCard } from "./card.js";
import * as clinics from "./clinics.js";
import { Correction } from "./correct.js";
import { $, element } from "./dom.js";
import { FilmView } from "./film.js";
import { isShownLocally } from "./formats.js";
import { keyed } from "./key.js";
import { fitForPrint, followFooter } from "./media.js";
import { offerModels, setModel, shown, slide } from "./modes.js";
import { askOthers, offerOthers, tidyOthers } from "./others.js";
import { credit, offer, truth } from "./samples.js";
import { saveJson, savePicture } from "./save.js";
import { press, use } from "./tools.js";
import * as words from "./words.js";

const LOOKING = "Looking for fractures";
const NOT_UNDERSTOOD = "The service's answer could not be understood.";
const ABOUT_FILMS = new Set([400, 413, 415, 422]);

const study = { films: [], answer: null, place: null, running: null };
let loaded = null;
let unloaded = false;

// --- films in ---

/** Add films to the study; `about` is what is known of a film to try. */
function add(files, about = null) {
  const chosen = [...files];
  if (!chosen.length) return;
  for (const file of chosen) {
    const number = 1 + study.films.filter(({ frame }) => !frame).length;
    const film = newFilm(file, number);
    if (about) tellOf(film, about);
    study.films.push(film);
    film.picture = showPicture(film);
  }
  tidy();
  read();
}

/** Make a film's card; `before` is the frame that comes before it in the same file. */
function newFilm(file, number, frame = 0, before = null) {
  const card = $("#film-card").content.firstElementChild.cloneNode(true);
  card.querySelector(".name").textContent = file.name || "pasted film";
  if (before) before.card.after(card);
  else $("#films").append(card);
  const view = new FilmView(card);
  const film = { file, frame, number: 0, card, view, answer: null };
  renumber(film, number);
  view.onPlace = () => together(view);
  view.onBoxes = () => countBoxes(film);
  const save = () => savePicture(view, shown, words.modelWords(study.answer), `${fileName(film)}.png`);
  const others = { save, remove: () => remove(film) };
  film.correction = new Correction(film, (said) => withKey(() => api.correct(film.file, said)));
  card.addEventListener("click", (event) => use(film, event.target.closest("[data-do]"), others));
  press(film, view.drags, true);
  return film;
}

/** Let all films lie as one of them does, where that is wanted. */
function together(view) {
  if (!$("#together input").checked) return;
  for (const { view: other } of study.films) if (other !== view) other.follow(view);
}

function renumber(film, number, frames = 1) {
  film.number = number;
  film.card.querySelector(".number").textContent = `${number}.${frames > 1 ? ` Frame ${film.frame + 1} of ${frames},` : ""}`;
  film.view.viewport.setAttribute("aria-label", `Film ${number}${film.frame ? `, frame ${film.frame + 1}` : ""}`);
}

/** Show whose film it is, and, on request, what people drew on it. */
function tellOf({ card, view }, about) {
  view.truth = about.boxes;
  card.querySelector(".credit").textContent = credit(about);
  card.querySelector("[data-do=truth]").hidden = false;
  card.querySelector(".truth").textContent = truth(about);
}

/** Take a file and all its frames off the page; what is left is read anew, as a study may then be another. */
function remove({ file }) {
  const at = study.films.findIndex((film) => film.file === file);
  for (const film of study.films) if (film.file === file) film.card.remove();
  study.films = study.films.filter((film) => film.file !== file);
  if (!study.films.length) {
    clear();
    return focusOn(null);
  }
  focusOn(study.films[Math.min(at, study.films.length - 1)]);
  study.films.filter(({ frame }) => !frame).forEach((film, index) => renumber(film, index + 1));
  return read();
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
    await askOthers(study.films);
  } catch (problem) {
    if (study.running !== running) return;
    const aboutFilms = ABOUT_FILMS.has(problem.status); // which are the same when they are sent again
    const each = sent.length === 1 && aboutFilms ? [problem] : (problem.films ?? []);
    if (sent.every((_, source) => each[source])) sent.forEach((film, source) => { film.answer = each[source]; });
    else say(problem, aboutFilms ? null : read);
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
    renumber(film, first.number, answers.length);
    films.push(film);
  }
  return films;
}

async function showFrame(film) {
  if (!study.films.includes(film)) return;
  await showRendered(film);
  updateCard(film);
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
  for (const film of study.films) updateCard(film);
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

/** Say what went wrong; `again` is what may go well another time. */
function say(problem, again = null) {
  const button = $("#banner button");
  if (!problem && button === document.activeElement) focusOn(study.films[0]);
  $("#banner").hidden = !problem;
  // What is no refusal came of an answer in another shape than the page knows.
  const known = !problem || problem instanceof words.Problem ? problem : new words.Problem(200, NOT_UNDERSTOOD);
  $("#banner p").textContent = known ? words.problemWords(known) : "";
  button.hidden = !again;
  button.onclick = again;
}

/** Put the focus on a film, or, without one, on what brings films in: a keyboard's place on the page must not be lost. */
function focusOn(film) {
  const place = film?.view.viewport ?? (api.RECORDED ? $("#samples button") : $("#choose"));
  place?.focus({ preventScroll: true });
}

// --- the model and the films to try ---

async function load() {
  unloaded = false;
  try {
    const [models, samples] = [await withKey(api.models), await api.samples()];
    document.body.classList.toggle("recorded", api.RECORDED);
    for (const [name, there] of Object.entries(await api.offers().catch(() => ({})))) document.body.classList.toggle(name, there);
    const open = (file, about) => { clear(); add([file], about); };
    offer(samples, (file, about) => { open(file, about); focusOn(study.films[0]); });
    offerModels(models, choose, updateFilms);
    offerOthers(models, compare);
    // A film to try may be named in the address, as the front page of the static site does.
    const named = samples.find(({ about }) => `#${about.file}` === location.hash);
    if (named && !study.films.length) named.file().then((file) => open(file, named.about), () => {});
  } catch (problem) {
    unloaded = true;
    say(problem, () => { say(null); loaded = load(); });
  }
}

function choose(model) {
  setModel(model, updateFilms);
  tidyOthers();
  if (study.films.length) read();
}

/** Show what the models that were chosen besides say of the films. */
async function compare() {
  tidyOthers();
  await askOthers(study.films);
  updateFilms();
}

function updateFilms() {
  for (const film of study.films) updateCard(film);
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
$("#clear").addEventListener("click", () => { clear(); focusOn(null); });
$("#slider").addEventListener("input", () => slide(updateFilms));
$("#together input").addEventListener("change", () => { if (study.films.length) together(study.films[0].view); });
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

followFooter();
fitForPrint(() => study.films.map(({ view }) => view));
update();
loaded = load();
