// Recorded answers, as the page sees a service: what the service's own api.js gives, without one.

import { Problem } from "./words.js";

const DATA = new URL("../data/", document.baseURI);

let recorded = null;
const studies = [];

export const key = () => null;
export const useKey = () => {};

/** Give what was recorded, a model in each way it was run, as {name, card, answers}. */
export async function models() {
  recorded ??= load();
  try {
    return (await recorded).models;
  } catch {
    recorded = null;
    throw new Problem(0, "The recorded answers cannot be loaded. Is this computer connected to where they are?");
  }
}

/** Give the studies to try, {title, files}. */
export async function examples() {
  await models();
  return studies;
}

export async function detect(files, { model }) {
  const asked = (study) => study.files.length === files.length && study.files.every((file) => files.includes(file));
  const at = studies.findIndex(asked);
  if (at < 0) {
    throw new Problem(415, "Only recorded studies have an answer here. To read films of your own, run the service.");
  }
  return structuredClone(model.answers[at]);
}

export async function render() {
  throw new Problem(415, "Here only pictures that a browser knows can be shown.");
}

async function load() {
  const content = await (await get("films.json")).json();
  studies.push(...await Promise.all(content.studies.map(fetched)));
  return content;
}

async function fetched({ title, films }) {
  return { title, files: await Promise.all(films.map(film)) };
}

async function film(name) {
  return new File([await (await get(name)).blob()], name.split("/").at(-1), { type: "image/png" });
}

async function get(name) {
  const response = await fetch(new URL(name, DATA));
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response;
}
