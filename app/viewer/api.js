// The service, as the page sees it. Nothing else here knows an address, a field of a request or a header.

const KEY = "fracture-key";
const MODE = "screening"; // the most sensitive of the measured modes: its boxes hold those of all stricter ones

/** A refusal of the service, or of the way to it, in words. */
export class Problem extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const floorMode = MODE;

export function key() {
  return sessionStorage.getItem(KEY);
}

export function useKey(text) {
  sessionStorage.setItem(KEY, text);
}

/** Give the model's card. */
export async function model() {
  return json(await ask("model"));
}

/** Read films, in order, as one study. `place` is null or {lat, lng}. Their names are not sent. */
export async function detect(files, place, signal) {
  const query = new URLSearchParams({ mode: MODE, ...place });
  return json(await ask(`detect?${query}`, { method: "POST", body: form(files), signal }));
}

/** Give a film as a grey PNG, by the decoder that the boxes rest on. */
export async function render(file) {
  return (await ask("render", { method: "POST", body: form([file]) })).blob();
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
  throw new Problem(response.status, detail, response.headers.get("Retry-After"));
}

async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(response.status, "The service's answer could not be understood.");
  }
}
