/** What is shown when there is nothing to draw: no runs, nothing read yet, no way to ask. */

import { element, refill } from "./dom.js";
import { duration } from "./words.js";

/** The folder is there, and no run in it. */
export function noRuns(model) {
  const passed = model.passedOver;
  return element(
    "section",
    { class: "stage" },
    element("h1", {}, "No runs here yet"),
    element("p", {}, "A run appears as soon as a trainer writes its first event into ", element("code", {}, model.folder || "the folder"), "."),
    element(
      "pre",
      {},
      element("code", {}, "from rldk.integrations.trl import RLDKCallback\n\ntrainer = GRPOTrainer(..., callbacks=[RLDKCallback(output_dir=\"runs\")])"),
    ),
    passed.length
      ? element(
          "details",
          { class: "passed-over" },
          element("summary", {}, `${passed.length === 1 ? "One file was" : `${passed.length} files were`} passed over`),
          element("ul", {}, passed.slice(0, 50).map(({ path, why }) => element("li", {}, element("code", {}, path), ` ${why}`))),
        )
      : null,
  );
}

/** Nothing is known yet. */
export function waiting() {
  return element(
    "section",
    { class: "stage waiting", "aria-busy": "true" },
    element("p", {}, "Looking for runs …"),
    element("div", { class: "cards" }, Array.from({ length: 6 }, () => element("div", { class: "card loading ghost" }, element("div", { class: "plot" })))),
  );
}

/** Runs are there, and none is chosen. */
export function noneChosen() {
  return element("section", { class: "stage" }, element("h1", {}, "Choose a run"), element("p", {}, "The list has them all, the most recently written first."));
}

/** The run is there and has logged no metric yet. */
export function noMetrics(run) {
  return element(
    "section",
    { class: "stage small" },
    element("p", {}, run?.progress < 1 ? "Its log is being read …" : "It has logged no metric yet. Its charts appear with its first event."),
  );
}

/** The server wants another token. */
export function refused() {
  return element(
    "section",
    { class: "stage" },
    element("h1", {}, "This link is no longer good"),
    element("p", {}, "The server was started anew and wants a new token. Open the link that ", element("code", {}, "rldk serve"), " has printed in its terminal."),
  );
}

/** The charts cannot be drawn: a part of the package is missing. */
export function withoutCharts() {
  return element(
    "section",
    { class: "stage" },
    element("h1", {}, "The charts are missing"),
    element("p", {}, "This installation of RLDK was built without uPlot. Install ", element("code", {}, "npm"), " and say ", element("code", {}, "pip install -e ."), " once more, or install the package from PyPI. In a terminal, ", element("code", {}, "rldk watch"), " shows the same."),
  );
}

/** A strip over the page that says how the connection is. `retry` is called when one does not want to wait. */
export function connectionStrip(retry) {
  const root = element("div", { class: "strip", role: "status", hidden: true });
  let since = null;
  return {
    root,
    set(state, { seconds } = {}) {
      root.hidden = state !== "lost";
      if (state !== "lost") {
        since = null;
        return;
      }
      since ??= new Date();
      refill(
        root,
        element("strong", {}, "Disconnected. "),
        `The server has not answered since ${since.toLocaleTimeString()}; what you see is from then. Trying again every ${duration(seconds)}. `,
        element("button", { class: "link", type: "button", onclick: retry }, "try now"),
      );
    },
  };
}
