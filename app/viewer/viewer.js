// The page: what a person does, and what comes of it.

import * as api from "./api.js";
import { FilmView, isShownLocally } from "./film.js";
import { saveJson, savePicture } from "./save.js";
import * as words from "./words.js";

const $ = (selector) => document.querySelector(selector);

const NOT_UNDERSTOOD = "The service's answer could not be understood.";
const ABOUT_THE_FILM = new Set([400, 413, 415, 422]);

const study = { films: [], answer: null, place: null, running: null };
const shown = { threshold: 0, points: [] };
let keyAsked = null;

// --- films in ---

function add(files) {
  const chosen = [...files];
  if (!chosen.length) return;
  for (const file of chosen) {
    const film = newFilm(file, file.name || "pasted film");
    study.films.push(film);
    film.picture = showPicture(film);
  }
  tidy();
  read();
}

function newFilm(file, name) {
  const card = $("#film-card").content.firstElementChild.cloneNode(true);
  const number = study.films.length + 1;
  card.querySelector(".name").textContent = `${number}. ${name}`;
  $("#films").append(card);
  const film = { file, card, number, view: new FilmView(card, `Film ${number}`), answer: null };
  card.querySelector(".tools").addEventListener("click", (event) => use(film, event.target.dataset.do));
  return film;
}

async function showPicture(film) {
  if (!film.file) return;
  try {
    if (await isShownLocally(film.file)) film.view.show(await createImageBitmap(film.file));
    else await showRendered(film);
  } catch {
    await showRendered(film);
  }
}

async function showRendered(film) {
  try {
    film.view.show(await createImageBitmap(await withKey(() => api.render(film.file))));
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
    save: () => savePicture(view, shown.threshold, `fracture-film-${film.number}.png`),
  };
  if (!what) return;
  actions[what]();
  press("dragMoves", view.dragMoves);
  press("dragWindows", !view.dragMoves);
  press("invert", view.inverted);
}

// --- answers ---

async function read() {
  study.running?.abort();
  const running = new AbortController();
  const sent = study.films.filter(({ file }) => file);
  Object.assign(study, { running, answer: null });
  say(null);
  update();
  const clock = tellProgress(sent);
  try {
    const answer = await withKey(() => api.detect(sent.map(({ file }) => file), study.place, running.signal));
    if (study.running === running) await take(answer, sent);
  } catch (problem) {
    if (study.running !== running) return;
    if (sent.length === 1 && ABOUT_THE_FILM.has(problem.status)) sent[0].answer = problem;
    else say(problem, read);
  } finally {
    clearInterval(clock);
    if (study.running === running) {
      for (const { card } of study.films) card.classList.remove("reading");
      study.running = null;
      update();
    }
  }
}

async function take(answer, sent) {
  const answers = answer.films ?? [answer];
  const known = (one) => (Array.isArray(one?.detections) && one.image_size) || typeof one?.detail === "string";
  if (!Array.isArray(answers) || answers.length < sent.length || !answers.every(known)) {
    throw new api.Problem(200, NOT_UNDERSTOOD);
  }
  study.answer = answer;
  // Frames of one file are films of their own; the service has no picture of each, so they follow without one.
  for (const film of study.films.filter(({ file }) => !file)) film.card.remove();
  study.films = sent;
  while (study.films.length < answers.length) study.films.push(newFilm(null, "another frame"));
  study.films.forEach((film, index) => { film.answer = answers[index]; });
  await Promise.all(sent.map(matchFrame));
}

/** Boxes are in pixels of the decoded film: where the browser decoded to another size, take the service's picture. */
async function matchFrame(film) {
  await film.picture;
  const frame = film.answer.image_size;
  if (!frame || film.unseen) return;
  const { width, height } = film.view.size;
  if (width !== frame.width || height !== frame.height) await showRendered(film);
}

/** Say on every film that it is being read, and for how long; give the clock to be stopped. */
function tellProgress(films) {
  const began = Date.now();
  const tell = () => {
    const seconds = Math.floor((Date.now() - began) / 1000);
    for (const { card } of films) {
      card.classList.add("reading");
      card.querySelector(".busy span").textContent = `Looking for fractures${seconds < 2 ? "" : `, ${seconds} s`}`;
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
  const said = study.running ? null : (study.answer?.study?.status ?? singleStatus());
  const [head, text] = said ? words.statusWords(said) : [study.running ? "Looking for fractures" : "", ""];
  const failed = study.films.filter(({ answer }) => answer && !answer.detections).length;
  $("#status").dataset.status = said ?? "";
  $("#status strong").textContent = head;
  const missing = failed ? ` ${words.plural(failed, "film was", "films were")} not read.` : "";
  $("#status span").textContent = `${text}${missing}`;
  $("#save-json").disabled = !study.answer;
  updateClinics();
}

function singleStatus() {
  const found = study.films.length === 1 ? study.films[0].answer?.detections : null;
  return found ? words.statusOf(found) : null;
}

function updateFilm({ card, view, answer, unseen, file }) {
  const found = answer?.detections;
  const problem = card.querySelector(".problem");
  problem.hidden = !answer || Boolean(found);
  card.classList.toggle("refused", !problem.hidden && !view.greys);
  problem.textContent = problem.hidden ? "" : words.problemWords(answer);
  const verdict = card.querySelector(".verdict");
  verdict.dataset.status = found ? words.statusOf(found) : "";
  verdict.textContent = found ? words.statusWords(verdict.dataset.status)[0] : "";
  if (!found) {
    view.setBoxes([], null, []);
    for (const part of [".count", ".advice"]) card.querySelector(part).textContent = "";
    for (const part of [".found", ".warnings"]) card.querySelector(part).replaceChildren();
    return;
  }
  const numbered = found.map((detection, index) => [detection, index + 1]);
  const above = numbered.filter(([{ confidence }]) => confidence >= shown.threshold);
  view.setBoxes(above.map(([detection]) => detection), answer.image_size, above.map(([, number]) => number));
  const hidden = found.length - above.length;
  const count = `${words.plural(above.length, "box", "boxes")} shown`;
  card.querySelector(".count").textContent = hidden ? `${count}, ${hidden} hidden by the slider.` : `${count}.`;
  card.querySelector(".found").replaceChildren(...above.map(([detection, number]) => row(view, detection, number)));
  const notes = [...(answer.warnings ?? [])];
  if (unseen || !file) notes.push("The picture of this film cannot be shown; the boxes are where they are on it.");
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

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function say(problem, again = null) {
  $("#banner").hidden = !problem;
  // What is no refusal came of an answer in another shape than the page knows.
  const known = !problem || problem instanceof api.Problem ? problem : new api.Problem(200, NOT_UNDERSTOOD);
  $("#banner p").textContent = known ? words.problemWords(known) : "";
  $("#banner button").onclick = again;
}

// --- which boxes ---

async function loadModel() {
  try {
    const card = await withKey(api.model);
    $("#model").textContent = `${card.model_id} ${card.version}`;
    const floor = card.operating_points.find(({ name }) => name === api.floorMode)?.threshold ?? 0;
    // Below the floor the service was not asked for boxes, so those modes would promise what the page cannot show.
    shown.points = card.operating_points.filter(({ threshold }) => threshold >= floor);
    $("#slider").min = floor;
    for (const point of shown.points) $("#modes").append(choice(point));
    if (shown.points.length) setMode(shown.points.find(({ name }) => name === api.floorMode) ?? shown.points[0]);
  } catch (problem) {
    say(problem, () => { say(null); loadModel(); });
  }
}

function choice(point) {
  const label = element("label", "");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "mode";
  radio.addEventListener("change", () => setMode(point));
  point.radio = radio;
  label.append(radio, element("span", point.name));
  return label;
}

function setMode(point) {
  point.radio.checked = true;
  $("#slider").value = point.threshold;
  setThreshold(point.threshold, point);
}

function setThreshold(threshold, point = null) {
  shown.threshold = threshold;
  $("#threshold").textContent = words.percent(threshold);
  $("#slider").setAttribute("aria-valuetext", words.percent(threshold));
  if (!point) for (const { radio } of shown.points) radio.checked = false;
  const lines = point ? words.measuredWords(point) : ["Your own threshold: nothing was measured there."];
  $("#measured").replaceChildren(...lines.map((line) => element("p", line)));
  for (const film of study.films) updateFilm(film);
}

// --- clinics ---

function locate() {
  if (!navigator.geolocation) {
    $("#consult").textContent = "This browser gives no position here. Type one.";
    return;
  }
  $("#consult").textContent = "Asking your browser for a position";
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => lookAround(coords.latitude, coords.longitude),
    () => { $("#consult").textContent = "No position was given. You can type one."; },
    { timeout: 15_000, maximumAge: 600_000 },
  );
}

function lookAround(latitude, longitude) {
  // About 1 km: enough to find a clinic, too coarse to find a person.
  const [lat, lng] = [latitude, longitude].map((degrees) => Math.round(100 * degrees) / 100);
  [$("#lat").value, $("#lng").value] = [lat, lng];
  study.place = { lat, lng };
  if (study.films.length) {
    $("#consult").textContent = "Looking for clinics";
    read();
  } else {
    $("#consult").textContent = "Clinics are listed with the answer for a film.";
  }
}

function updateClinics() {
  if (study.running) return;
  const { answer } = study;
  const consult = [answer?.orthopedic_consult, answer?.study?.orthopedic_consult]
    .concat(study.films.map((film) => film.answer?.orthopedic_consult)).find(Boolean);
  const said = [consult?.note, consult?.attribution].filter(Boolean).join(" ");
  $("#consult").textContent = said || (answer && study.place ? "The service listed no clinics." : "");
  $("#clinic-list").replaceChildren(...(consult?.clinics ?? []).map(({ name, address, distance_m: metres }) => {
    const item = element("li", "");
    item.append(element("span", name), element("small", [words.distance(metres), address].filter(Boolean).join(", ")));
    return item;
  }));
}

// --- the key ---

async function withKey(call) {
  for (;;) {
    const used = api.key();
    try {
      return await call();
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      // Another call may have asked while this one was under way.
      if (api.key() === used && !(await askKey(used && problem))) throw problem;
    }
  }
}

function askKey(problem) {
  keyAsked ??= new Promise((done) => {
    $("#ask-problem").textContent = problem ? words.problemWords(problem) : "";
    $("#key").value = "";
    const finish = (given) => {
      keyAsked = null;
      $("#ask").onclose = null;
      $("#ask").close();
      done(given);
    };
    $("#ask form").onsubmit = (event) => {
      event.preventDefault();
      api.useKey($("#key").value);
      $("#key").value = "";
      finish(true);
    };
    $("#ask-cancel").onclick = () => finish(false);
    $("#ask").onclose = () => finish(false);
    $("#ask").showModal();
  });
  return keyAsked;
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
$("#locate").addEventListener("click", locate);
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
loadModel();
