// The key: asked for where the service wants one, once for all calls that lack it.

import * as api from "./api.js";
import { $ } from "./dom.js";
import * as words from "./words.js";

let asked = null;

/** Make a call, and again with a key where the service asks for one; `given` is run once there is a new key. */
export async function keyed(call, given) {
  for (;;) {
    const used = api.key();
    try {
      return await call();
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      // Another call may have asked while this one was under way.
      if (api.key() === used && !(await ask(problem))) throw problem;
      given();
    }
  }
}

function ask(problem) {
  asked ??= new Promise((done) => {
    $("#ask-problem").textContent = problem.code === "key_unknown" ? words.problemWords(problem) : "";
    $("#key").value = "";
    const finish = (given) => {
      asked = null;
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
  return asked;
}
