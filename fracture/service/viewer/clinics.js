// Clinics nearby: where somebody is, to about 1 km, and what the service listed there.

import { $, element } from "./dom.js";
import * as words from "./words.js";

export function say(text) {
  $("#consult").textContent = text;
}

/** Ask the browser where it is, and give latitude and longitude to `found`. */
export function locate(found) {
  if (!navigator.geolocation) {
    say("This browser gives no position here. Type one.");
    return;
  }
  say("Asking your browser for a position");
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => found(coords.latitude, coords.longitude),
    () => say("No position was given. You can type one."),
    { timeout: 15_000, maximumAge: 600_000 },
  );
}

/** Give a place to about 1 km: enough to find a clinic, too coarse to find a person. */
export function rounded(latitude, longitude) {
  const [lat, lng] = [latitude, longitude].map((degrees) => Math.round(100 * degrees) / 100);
  return { lat, lng };
}

/** List the clinics that came with an answer, of the study or of one of its films. */
export function show(answer, films, place) {
  const consult = [answer?.orthopedic_consult, answer?.study?.orthopedic_consult]
    .concat(films.map((film) => film.answer?.orthopedic_consult)).find(Boolean);
  const said = [consult?.note, consult?.attribution].filter(Boolean).join(" ");
  say(said || (answer && place ? "The service listed no clinics." : ""));
  $("#clinic-list").replaceChildren(...(consult?.clinics ?? []).map(({ name, address, distance_m: metres }) => {
    const item = element("li", "");
    item.append(element("span", name), element("small", [words.distance(metres), address].filter(Boolean).join(", ")));
    return item;
  }));
}
