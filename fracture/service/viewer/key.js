// The key: asked for where the service wants one, once for all calls that lack it.

import * as api from "./api.js";
import { $ } from "./dom.js";
import * as words from "./words.js";

const UNKNOWN = "key_unknown";

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
      if (api.key() === used && !(await ask(problem))) throw withdrawn(problem);
      given();
    }
  }
}

/** Give the problem of a call that no key was given for in the end: a wrong one is as good as none. */
function withdrawn(problem) {
  if (problem.code !== UNKNOWN) return problem;
  api.forgetKey();
  return new words.Problem(problem.status, "This service asks for a key, and none is given.");
}

function ask(problem) {
  asked ??= new Promise((done) => {
    $("#ask-problem").textContent = problem.code === UNKNOWN ? words.problemWords(problem) : "";
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
