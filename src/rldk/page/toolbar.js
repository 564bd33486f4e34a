/** The controls over the charts. */

import { element, icon, say } from "./dom.js";
import { SMOOTHINGS } from "./settings.js";
import { clockTick, duration, number } from "./words.js";

const MINUS = "M3 8h10";
const PLUS = "M3 8h10M8 3v10";

/** `told` has a function for each thing that can be done: see `main.js`. */
export function toolbar(settings, told) {
  const search = element("input", {
    type: "search", class: "search", placeholder: "Search metrics", "aria-label": "Search metrics", title: "Search (/)", value: settings.search,
    oninput: () => told.search(search.value),
    onkeydown: (event) => {
      if (event.key !== "Escape") return;
      search.value = "";
      told.search("");
      search.blur();
    },
  });
  const step = choice("step", "Steps of the trainer (x)", () => told.axis("step"));
  const time = choice("time", "Time since the run began (x)", () => told.axis("wall_time"));
  const log = choice("log", "Logarithmic scale of all charts (l)", () => told.log(!settings.log));
  const smoothing = element(
    "select",
    { "aria-label": "Smoothing", title: "Running mean over the curves, which stay (s)", onchange: () => told.smooth(Number(smoothing.value)) },
    SMOOTHINGS.map((share) => element("option", { value: share }, share ? `mean over ${share} %` : "no smoothing")),
  );
  const shown = element("span", { class: "range" });
  const reset = element("button", { class: "chip", type: "button", title: "Show all (0)", onclick: () => told.zoom(null) }, "show all");
  const root = element(
    "div",
    { class: "toolbar", role: "toolbar", "aria-label": "Charts" },
    search,
    element("span", { class: "segmented", role: "group", "aria-label": "Axis" }, step, time),
    log,
    smoothing,
    element(
      "span",
      { class: "zooming" },
      element("button", { class: "chip", type: "button", "aria-label": "Zoom out", title: "Zoom out (−)", onclick: () => told.zoomBy(2) }, icon(MINUS)),
      element("button", { class: "chip", type: "button", "aria-label": "Zoom in", title: "Zoom in (+)", onclick: () => told.zoomBy(0.5) }, icon(PLUS)),
      reset,
      shown,
    ),
  );
  return {
    root,
    focusSearch() {
      search.focus();
      search.select();
    },
    refresh(range, hasTime) {
      time.disabled = !hasTime;
      step.setAttribute("aria-pressed", String(settings.axis === "step"));
      time.setAttribute("aria-pressed", String(settings.axis === "wall_time"));
      log.setAttribute("aria-pressed", String(settings.log));
      smoothing.value = String(settings.smoothing);
      if (search.value !== settings.search) search.value = settings.search;
      reset.hidden = !range;
      say(shown, range ? spoken(range, settings.axis) : "");
    },
  };
}

/** A range in words, its ends told from each other however near they are. */
function spoken(range, axis) {
  if (axis === "step") return `steps ${range.map((step) => number(Math.round(step))).join(" to ")}`;
  const [from, to] = range.map(duration);
  return from === to ? range.map((time) => clockTick(time, (range[1] - range[0]) / 10)).join(" to ") : `${from} to ${to}`;
}

function choice(text, title, onclick) {
  return element("button", { class: "chip", type: "button", title, onclick }, text);
}
