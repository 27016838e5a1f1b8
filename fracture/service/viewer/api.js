// The service, as the page sees it. Nothing else here knows an address, a field of a request or a header.

import { Problem } from "./words.js";

const KEY = "fracture-key";

/** Whether answers were recorded, and nothing is read here. */
export const RECORDED = false;

export function key() {
  return sessionStorage.getItem(KEY);
}

export function useKey(text) {
  sessionStorage.setItem(KEY, text);
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

/** Give what can be asked, each as {name, card}: the one model that serves. */
export async function models() {
  const card = await json(await ask("model"));
  return [{ name: `${card.model_id} ${card.version}`, card }]; // the card names the default mode beside its own fields
}

/** Give films to try: {title, source, file, about}, where `source` is a picture's address. */
export async function samples() {
  const { films } = await json(await ask("samples/samples.json"));
  return films.map((about) => {
    const source = `samples/${about.file}`;
    const file = async () => new File([await (await ask(source)).blob()], about.file, { type: "image/png" });
    return { title: about.title, source, file, about };
  });
}

/**
 * Read films, in order, as one study. Their names are not sent.
 * @param {{model: object, mode?: string, conf?: number, place: {lat: number, lng: number} | null}} how
 */
export async function detect(files, { mode, conf, place }, signal) {
  const query = new URLSearchParams({ ...(mode && { mode }), ...(conf !== undefined && { conf }), ...place });
  return json(await ask(`detect?${query}`, { method: "POST", body: form(files), signal }));
}

/** Give a frame of a film as a grey PNG, by the decoder that the boxes rest on. */
export async function render(file, frame) {
  return (await ask(`render?frame=${frame}`, { method: "POST", body: form([file]) })).blob();
}

/** Tell what the service does besides: {feedback, clinics}, whether it keeps corrections and looks clinics up. */
export async function offers() {
  const { feedback, clinics } = await json(await ask("health"));
  return { feedback: Boolean(feedback), clinics: Boolean(clinics) };
}

/** Correct a film; gives {sha256, kept_at}. See the service's own description of /feedback. */
export async function correct(file, said) {
  const body = form([file]);
  body.append("correction", JSON.stringify(said));
  return json(await ask("feedback", { method: "POST", body }));
}

function form(files) {
  const body = new FormData();
  files.forEach((file, index) => body.append("file", file, `film-${index + 1}`));
  return body;
}

async function ask(path, options = {}) {
  const headers = key() ? { "X-API-Key": key() } : {};
  let response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...options, headers, credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service cannot be reached. Is it running, and is this computer connected to it?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => null);
  const detail = said?.detail || `The service answered with status ${response.status} and gave no reason.`;
  throw new Problem(response.status, detail, said?.code, response.headers.get("Retry-After"), ofFilms(said, response));
}

/** Give the problem of each film by its place, where none of them could be read. */
function ofFilms(said, { status }) {
  const films = [];
  for (const { loc: [, , source], msg, type } of said?.errors ?? []) {
    if (Number.isInteger(source)) films[source] = new Problem(status, msg, type);
  }
  return films;
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(response.status, "The service's answer could not be understood.");
  }
}
