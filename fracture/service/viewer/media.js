// What the page is shown on: a screen with large letters, and paper.

import { $ } from "./dom.js";

const MOST = 1 / 6; // of the screen's height that the disclaimer may cover for good

/** Let the disclaimer go down with the page where the letters are so large that it would cover much of the screen. */
export function followFooter() {
  const follow = () => document.body.classList.toggle("tall-footer", $("footer").offsetHeight > MOST * innerHeight);
  new ResizeObserver(follow).observe($("footer"));
  addEventListener("resize", follow);
}

/** Show films whole on paper, and on the screen afterwards as before; `views` gives those on the page. */
export function fitForPrint(views) {
  let shown = [];
  const end = () => {
    document.body.classList.remove("printing"); // a film has the size of the paper's while this is set
    for (const [view, place] of shown) view.putBack(place);
    shown = [];
  };
  addEventListener("beforeprint", () => {
    end();
    shown = views().map((view) => [view, view.lies]);
    document.body.classList.add("printing");
    for (const [view] of shown) view.fit();
  });
  addEventListener("afterprint", end);
}
