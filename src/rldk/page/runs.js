/** The list of runs: what each is doing, what the rules say of it, and which are shown. */

import { calm, element, icon, redraw } from "./dom.js";
import { ago, number, plural } from "./words.js";

const CHECK = "m3 8.5 3.2 3L13 4.5";

/** `told` has functions: `choose(id)`, `overlay(id)`. */
export function runList(model, colour, told) {
  const root = element("ul", { class: "runs", "aria-label": "Runs" });
  const shown = () => [model.selected, colour(model.selected[0]), model.runs, model.runs.map((run) => ago(run.updated))];
  return { root, refresh: calm(() => redraw(root, model.runs.map((run) => item(run, model, colour, told))), shown) };
}

function item(run, model, colour, told) {
  const isShown = model.selected.includes(run.id);
  const box = element(
    "button",
    {
      class: "swatch-box", type: "button", role: "checkbox", "aria-checked": String(isShown), "data-focus": `box ${run.id}`,
      "aria-label": `Show ${run.name} over the others`, title: "Show it over the others", onclick: () => told.overlay(run.id),
    },
    isShown ? icon(CHECK) : null,
  );
  if (isShown) box.style.background = box.style.borderColor = colour(run.id);
  return element(
    "li",
    { class: `run ${isShown ? "shown" : ""}`, "data-run": run.name, "data-at": run.path.split("/")[0], "data-state": run.state },
    box,
    element(
      "button",
      { class: "run-name", type: "button", "data-focus": `name ${run.id}`, "aria-current": isShown ? "true" : null, title: run.path, onclick: () => told.choose(run.id) },
      element("span", { class: "name" }, run.name),
      element("span", { class: "run-facts" }, stateTag(run), element("span", {}, stepsOf(run)), alertTags(run)),
      run.verdict && isTelling(run) ? element("span", { class: "run-verdict" }, run.verdict) : null,
      run.error ? element("span", { class: "run-verdict critical" }, run.error) : null,
      progress(run),
    ),
  );
}

/** A coloured word for the state of a run. */
export function stateTag(run) {
  const since = run.state === "training" ? "" : ` · ${ago(run.updated)}`;
  return element("span", { class: `state ${run.state}`, title: run.state_detail }, `${run.state}${since}`);
}

export function stepsOf(run) {
  if (!run.steps) return run.events ? plural(run.events, "event") : "no step yet";
  return run.total_steps ? `${number(run.steps[1])} / ${number(run.total_steps)}` : `step ${number(run.steps[1])}`;
}

function isTelling(run) {
  return run.health === "bad" || run.health === "attention";
}

function alertTags(run) {
  return ["critical", "warning"]
    .filter((severity) => run.alerts[severity])
    .map((severity) => element("span", { class: `bubble ${severity}`, title: plural(run.alerts[severity], `${severity} alert`) }, String(run.alerts[severity])));
}

/** A bar: how much of the log is read, or how far the training is. */
function progress(run) {
  const isReading = run.progress < 1;
  const share = isReading ? run.progress : run.total_steps && run.steps ? run.steps[1] / run.total_steps : null;
  if (share === null || (!isReading && run.state !== "training")) return null;
  const bar = element("span", { class: "bar-done" });
  bar.style.width = `${Math.min(100, share * 100)}%`;
  const label = isReading ? `reading the log: ${Math.floor(share * 100)} %` : `${Math.floor(share * 100)} % of the training`;
  return element("span", { class: `bar ${isReading ? "reading" : ""}`, role: "img", "aria-label": label, title: label }, bar);
}
