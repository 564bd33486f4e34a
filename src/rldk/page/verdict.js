/** The top of the page: for each run that is shown what it is, how it goes, and what the rules say. */

import { calm, element, icon, redraw } from "./dom.js";
import { stateTag, stepsOf } from "./runs.js";
import { ago, duration, number, pace, plural } from "./words.js";

const HEALTH = { good: "Healthy", attention: "Attention", bad: "In trouble", unknown: "Not judged yet" };
const SEVERITIES = ["critical", "warning", "info"];
const RECENT = 60;
const FIRST_SHOWN = 4;
const JUMP = "M3 13 13 3M6 3h7v7";

/**
 * `told.show(id, alert)` is called when an alert is to be seen on its curve. What was unfolded stays so when the panel
 * is drawn anew.
 */
export function verdictPanel(model, colour, told) {
  const root = element("div", { class: "verdicts" });
  const open = new Set();
  const runs = () => model.selected.map((id) => model.run(id)).filter(Boolean);
  const shown = () => runs().map((run) => [run, model.verdicts.get(run.id), model.errors.get(run.id), facts(run, model.clocks.get(run.id)), ago(run.updated), colour(run.id)]);
  const draw = () => redraw(root, runs().map((run) => panel(run, model, colour, { ...told, unfold }, open)));
  const unfold = (key) => {
    if (!open.delete(key)) open.add(key);
    draw();
  };
  return { root, refresh: calm(draw, shown) };
}

function panel(run, model, colour, told, open) {
  const verdict = model.verdicts.get(run.id);
  const health = verdict?.health ?? run.health ?? "unknown";
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = colour(run.id);
  return element(
    "section",
    { class: `verdict ${health}`, "aria-label": `Run ${run.name}` },
    element(
      "header",
      {},
      element("h1", {}, model.selected.length > 1 ? swatch : null, run.name),
      stateTag(run),
      element("dl", { class: "facts" }, facts(run, model.clocks.get(run.id)).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    ),
    run.error || model.errors.get(run.id) ? element("p", { class: "run-error" }, run.error ?? model.errors.get(run.id)) : null,
    element("p", { class: "sentence" }, element("strong", { class: "health" }, HEALTH[health]), " ", said(run, verdict)),
    run.progress < 1 ? element("p", { class: "reading" }, `Reading the log: ${Math.floor(run.progress * 100)} %. The newest points are there first.`) : null,
    verdict ? findings(run, verdict, told, open) : null,
    run.problems ? element("p", { class: "quiet-note" }, `${plural(run.problems, "line")} of the log could not be read; rldk validate says which.`) : null,
  );
}

function said(run, verdict) {
  return verdict?.sentence ?? run.verdict ?? "The rules have not seen all of the log yet.";
}

function facts(run, clock) {
  const rate = recentRate(clock);
  const left = rate && run.total_steps && run.steps && run.state === "training" ? (run.total_steps - run.steps[1]) / rate : null;
  return [
    ["step", stepsOf(run).replace(/^step /, "")],
    rate ? ["pace", pace(rate)] : null,
    left > 0 ? ["left", `about ${duration(left)}`] : null,
    clock?.length ? ["run time", duration(clock.at(-1)[1])] : null,
    run.attempts > 1 ? ["attempts", number(run.attempts)] : null,
    run.ranks.length > 1 ? ["ranks", number(run.ranks.length)] : null,
    [run.framework, run.algorithm].some(Boolean) ? ["trainer", [run.framework, run.algorithm].filter(Boolean).join(" ")] : null,
  ].filter(Boolean);
}

/** Steps in a second, of late. */
function recentRate(clock) {
  if (!clock || clock.length < 2) return null;
  const [before, now] = [clock[Math.max(0, clock.length - RECENT)], clock.at(-1)];
  return now[1] > before[1] && now[0] > before[0] ? (now[0] - before[0]) / (now[1] - before[1]) : null;
}

function findings(run, verdict, told, open) {
  const order = (alert) => SEVERITIES.indexOf(alert.severity) + (alert.state === "firing" ? 0 : SEVERITIES.length);
  const alerts = [...verdict.alerts].sort((one, other) => order(one) - order(other) || one.first_step - other.first_step);
  const isOpen = open.has(`all ${run.id}`);
  const shown = isOpen ? alerts : alerts.slice(0, FIRST_SHOWN);
  const more = alerts.length - shown.length;
  return element(
    "div",
    { class: "findings" },
    verdict.stories.map((story) => element("p", { class: `story ${story.severity}` }, element("strong", {}, story.name), " ", story.sentence)),
    alerts.length ? element("ul", { class: "alerts", "aria-label": "Alerts" }, shown.map((alert) => finding(run, alert, told, open))) : null,
    more || isOpen
      ? element("button", { class: "link", type: "button", "data-focus": `more ${run.id}`, onclick: () => told.unfold(`all ${run.id}`) }, more ? `${plural(more, "more alert")}` : "fewer alerts")
      : null,
    checked(run, verdict, open),
  );
}

function finding(run, alert, told, open) {
  const key = `${run.id} ${alert.rule} ${alert.metric} ${alert.first_step}`;
  const details = element(
    "details",
    { class: `alert ${alert.severity} ${alert.state}`, open: open.has(key), "data-rule": alert.rule },
    element(
      "summary",
      { "data-focus": key },
      element("span", { class: `tag ${alert.severity}` }, alert.state === "resolved" ? "resolved" : alert.severity),
      element("span", { class: "alert-text" }, element("span", { class: "rule" }, alert.rule), " ", element("span", { class: "message" }, alert.message)),
      element("span", { class: "alert-steps" }, place(alert)),
    ),
    element("p", {}, alert.advice),
    numbers(alert) ? element("p", { class: "evidence" }, numbers(alert)) : null,
    alert.metric
      ? element("button", { class: "link", type: "button", "data-focus": `show ${key}`, onclick: () => told.show(run.id, alert) }, icon(JUMP), ` show it on ${alert.metric}`)
      : null,
  );
  details.addEventListener("toggle", () => (details.open ? open.add(key) : open.delete(key)));
  return element("li", {}, details);
}

function place(alert) {
  const curve = alert.phase === "train" ? "" : `${[alert.phase, alert.eval_set].filter(Boolean).join(" ")}, `;
  const until = alert.last_step === alert.first_step ? "" : `–${number(alert.last_step)}`;
  return `${curve}step ${number(alert.first_step)}${until}`;
}

function numbers(alert) {
  const found = Object.entries(alert.evidence).map(([name, value]) => `${name} ${typeof value === "string" ? value : number(value)}`);
  if (alert.value !== null) found.unshift(`${alert.metric ?? "value"} ${number(alert.value)}${alert.baseline === null ? "" : ` against ${number(alert.baseline)}`}`);
  return [...found, `confidence ${Math.round(alert.confidence * 100)} %`].join(" · ");
}

/** What was looked at and found fine, and what could not be. */
function checked(run, verdict, open) {
  const key = `checked ${run.id}`;
  const unchecked = new Map();
  for (const each of verdict.unchecked) unchecked.set(each.why, [...(unchecked.get(each.why) ?? []), each.rule]);
  const details = element(
    "details",
    { class: "checked", open: open.has(key) },
    element("summary", { "data-focus": key }, `${plural(verdict.passed.length, "rule")} found nothing, ${number(verdict.unchecked.length)} could not judge`),
    verdict.passed.length ? element("p", {}, element("strong", {}, "Fine: "), verdict.passed.map((each) => each.rule).join(", ")) : null,
    [...unchecked].map(([why, rules]) => element("p", {}, element("strong", {}, `${why}: `), rules.join(", "))),
  );
  details.addEventListener("toggle", () => (details.open ? open.add(key) : open.delete(key)));
  return details;
}
