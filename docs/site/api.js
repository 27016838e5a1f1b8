// Recorded answers, as the page sees a service: what the service's own api.js gives, without one.

import { Problem } from "./words.js";

const DATA = new URL("../data/", document.baseURI);

let loading = null;
const places = new WeakMap(); // of films that were fetched, among the recorded ones

/** Whether answers were recorded, and nothing is read here. */
export const RECORDED = true;

export const key = () => null;
export const useKey = () => {};
export const forgetKey = () => {};

/** Give what was recorded, a model in each way it was run, as {name, card, answers}. */
export async function models() {
  loading ??= load();
  try {
    return (await loading).models;
  } catch {
    loading = null;
    throw new Problem(0, "The recorded answers cannot be loaded. Is this computer connected to where they are?");
  }
}

/** Give films to try: {title, source, file, about}, where `source` is a picture's address. */
export async function samples() {
  await models();
  const { films } = await (await get(new URL("samples/samples.json", document.baseURI))).json();
  return films.map((about) => {
    const source = `samples/${about.file}`;
    return { title: about.title, source, about, file: () => fetched(source, about.file) };
  });
}

export async function detect(files, { model }) {
  const at = files.length === 1 ? places.get(files[0]) : undefined;
  if (at === undefined) {
    const refused = new Problem(415, "Only the films to try have an answer here. To read films of your own, run the service.");
    refused.films = files.map(() => refused);
    throw refused;
  }
  return structuredClone(model.answers[at]);
}

export async function render() {
  throw new Problem(415, "Here only pictures that a browser knows can be shown.");
}

export const offers = async () => ({ feedback: false, clinics: false });

async function load() {
  return (await get(new URL("answers.json", DATA))).json();
}

async function fetched(source, name) {
  const blob = await (await get(new URL(source, document.baseURI))).blob();
  const file = new File([blob], name, { type: "image/png" });
  places.set(file, (await loading).films.indexOf(name));
  return file;
}

async function get(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response;
}
