/** All charts, in groups, with what they have in common: the range, the cursor, what is asked for, and when. */

import { Chart } from "./chart.js";
import { ascending, extent, translated } from "./curves.js";
import { element, refill, say } from "./dom.js";
import { grouped } from "./groups.js";
import { duration, number, plural } from "./words.js";

const AT_ONCE = 40;
const LEAST_POINTS = 300;
const FRAME = 120;
const MARGIN = 0.02;
const FULL = 4;

export class Board {
  /** `told` has functions: `zoomed(range)`, `loaded()`, `failed(id, error)`. */
  constructor(model, source, settings, told) {
    Object.assign(this, { model, source, settings, told });
    this.groups = element("div", { class: "groups" });
    this.root = element("div", { class: "board" }, this.groups);
    this.charts = new Map();
    /** Curves of the range that is zoomed to, by run and metric. */
    this.fine = new Map();
    this.zoomedTo = null;
    this.drawnAt = 0;
    this.pointed = null;
    this.loaded = new Map();
    this.asked = new Map();
    this.dirty = new Set();
    this.closed = new Set();
    this.seen = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "240px 0px" });
    this.sizes = new ResizeObserver((entries) => this.#resize(entries));
    this.restyle();
  }

  /** Take the colours of the theme. */
  restyle() {
    // The custom properties hold both themes; which one counts is told by a property that is a colour.
    const probe = document.body.appendChild(element("i"));
    const colour = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    this.colours = {
      faint: colour("ink-3"),
      grid: colour("grid"),
      seam: colour("ink-2"),
      panel: colour("panel"),
      nonfinite: colour("nonfinite"),
      critical: colour("critical"),
      warning: colour("warning"),
      info: colour("info"),
      runs: Array.from({ length: 8 }, (_, at) => colour(`run-${at + 1}`)),
    };
    probe.remove();
    for (const chart of this.#visible()) chart.restyle();
  }

  colour(id) {
    const { runs } = this.colours;
    return runs[Math.max(0, this.model.selected.indexOf(id)) % runs.length];
  }

  /** Make the cards there have to be: of all metrics that are searched for. */
  refresh() {
    const all = this.model.metrics();
    const metrics = all.filter((metric) => this.isFound(metric));
    for (const [metric, chart] of this.charts) {
      if (all.includes(metric)) continue;
      this.#forget(chart);
      this.charts.delete(metric);
    }
    const groups = grouped(metrics);
    const asText = JSON.stringify(groups);
    // Cards that are moved about lose the focus.
    if (asText !== this.shown) refill(this.groups, groups.map(({ title, metrics: names }) => this.#section(title, names)));
    this.shown = asText;
    for (const chart of this.charts.values()) chart.setMeaning();
    this.#request();
    return { shown: metrics.length, all: all.length };
  }

  /** Whether a metric is among those that are searched for. */
  isFound(metric) {
    return metric.toLowerCase().includes(this.settings.search.trim().toLowerCase());
  }

  #section(title, metrics) {
    const section = element(
      "details",
      { class: `group ${["", "one", "two"][metrics.length] ?? ""}`, open: !this.closed.has(title) },
      element("summary", {}, element("h2", {}, title), element("span", { class: "count" }, plural(metrics.length, "metric"))),
      element("div", { class: "cards" }, metrics.map((metric) => this.#chart(metric).card)),
    );
    section.addEventListener("toggle", () => (section.open ? this.closed.delete(title) : this.closed.add(title)));
    return section;
  }

  #chart(metric) {
    let chart = this.charts.get(metric);
    if (!chart) {
      chart = new Chart(metric, this);
      this.charts.set(metric, chart);
      this.seen.observe(chart.card);
      this.sizes.observe(chart.plot);
    }
    return chart;
  }

  #forget(chart) {
    this.seen.unobserve(chart.card);
    this.sizes.unobserve(chart.plot);
    chart.destroy();
  }

  #see(entries) {
    for (const entry of entries) {
      const chart = this.charts.get(entry.target.dataset.metric);
      if (!chart) continue;
      chart.isSeen = entry.isIntersecting;
      if (chart.isSeen) this.touch([chart.metric]);
    }
    this.#request();
  }

  #resize(entries) {
    for (const entry of entries) {
      const chart = this.charts.get(entry.target.closest(".card")?.dataset.metric);
      if (chart?.u) chart.fit();
      else if (chart?.isSeen) this.touch([chart.metric]);
    }
  }

  #visible() {
    return [...this.charts.values()].filter((chart) => chart.isSeen);
  }

  /** Draw these charts anew soon, all of them without a name. */
  touch(metrics = this.charts.keys()) {
    for (const metric of metrics) this.dirty.add(metric);
    this.drawing ??= setTimeout(() => this.#draw(), Math.max(0, this.drawnAt + FRAME - performance.now()));
  }

  /** Draw these charts at once: somebody waits for them. */
  #drawNow(metrics) {
    for (const metric of metrics) this.dirty.add(metric);
    this.#draw();
  }

  #draw() {
    clearTimeout(this.drawing);
    this.drawing = null;
    this.drawnAt = performance.now();
    this.isDrawing = true;
    // Behind those in which the charts are really drawn.
    queueMicrotask(() => queueMicrotask(() => this.#drawn()));
    const before = String(this.wide);
    this.wide = this.#extent();
    const all = !this.zoomedTo && String(this.wide) !== before;
    for (const chart of this.#visible()) {
      if (!all && !this.dirty.has(chart.metric)) continue;
      this.dirty.delete(chart.metric);
      chart.draw();
    }
  }

  /** Have the cursor stay at its step, where new data or another range have moved that; away when it is not shown. */
  #drawn() {
    this.isDrawing = false;
    if (this.pointed === null || !this.wide) return;
    const [low, high] = this.range();
    this.point(this.pointed >= low && this.pointed <= high ? this.pointed : null);
  }

  /** The range that all charts show. */
  range() {
    return this.zoomedTo ?? this.wide ?? [0, 1];
  }

  #extent() {
    const all = this.model.selected.flatMap((id) => [...(this.model.curves.get(id)?.values() ?? [])].flat());
    const found = extent(all);
    return !found || found[1] > found[0] ? found : [found[0] - 0.5, found[1] + 0.5];
  }

  /** Show a range, all of it without one. */
  zoom(range) {
    if (range && this.wide) {
      const [low, high] = this.wide;
      const least = (high - low) / 1e7;
      const [from, to] = [Math.max(range[0], low), Math.min(range[1], high)];
      if (to - from <= least) return;
      range = from <= low && to >= high ? null : [from, to];
    }
    this.zoomedTo = range;
    this.fine.clear();
    for (const key of this.asked.keys()) if (key.startsWith("fine ")) this.asked.delete(key);
    this.zoomings?.abort();
    this.zoomings = new AbortController();
    this.told.zoomed(range);
    this.#drawNow(this.charts.keys());
    this.#request();
  }

  /** Put the cursor of all charts at x, away when it is null. */
  point(x, leader = null) {
    this.pointed = x;
    for (const chart of this.#visible()) chart.point(x, chart !== leader);
  }

  /** A place on the axis in words, with what it is on the other one. */
  spoken(x) {
    const isTime = this.model.axis === "wall_time";
    const [from, to] = isTime ? [1, 0] : [0, 1];
    const other = translated(this.model.clocks.get(this.model.selected[0]), x, from, to);
    const [step, time] = isTime ? [other, x] : [x, other];
    return [step === null ? null : `step ${number(Math.round(step))}`, time === null ? null : duration(time)].filter(Boolean).join(", ");
  }

  /** Zoom around the middle, or move: both as a share of what is shown. */
  zoomBy(factor, shift = 0) {
    // Of nothing there is no part: the curves on this axis are still to come.
    if (!this.wide) return;
    const [low, high] = this.range();
    const [middle, half] = [(low + high) / 2 + (high - low) * shift, ((high - low) / 2) * factor];
    const [least, most] = this.wide;
    const moved = shift ? Math.max(least - (middle - half), 0) + Math.min(most - (middle + half), 0) : 0;
    this.zoom([middle - half + moved, middle + half + moved]);
  }

  /** Turn the range, and the place of the cursor, into those of the other axis. */
  setAxis(axis) {
    const clock = this.model.clocks.get(this.model.selected[0]);
    const [from, to] = axis === "wall_time" ? [0, 1] : [1, 0];
    const range = this.zoomedTo?.map((each) => translated(clock, each, from, to));
    const pointed = translated(clock, this.pointed, from, to);
    this.model.setAxis(axis);
    this.pointed = pointed;
    this.forgetLoaded();
    this.zoomedTo = null;
    this.wide = null;
    this.zoom(range && range.every((each) => each !== null) && range[1] > range[0] ? range : null);
    for (const chart of this.#visible()) chart.restyle();
  }

  forgetLoaded() {
    this.loaded.clear();
    this.asked.clear();
    this.fine.clear();
    this.#request();
  }

  isLoaded(metric) {
    return this.model.selected.every((id) => this.loaded.has(key("all", id, metric)) || !this.model.details.get(id)?.metrics[metric]);
  }

  /** The curves of a metric, as they are drawn: with the whole of them, their colour and their name. */
  lines(metric) {
    const isMany = this.model.selected.length > 1;
    return this.model.selected.flatMap((id) => {
      const wholes = this.model.curvesOf(id, metric);
      const curves = this.fine.get(key("fine", id, metric)) ?? wholes;
      return curves.map((curve) => {
        const whole = wholes.find((each) => each.phase === curve.phase && each.eval_set === curve.eval_set && each.attempt === curve.attempt);
        return { run: id, curve, whole: whole ?? curve, colour: this.colour(id), label: this.#label(id, curve, isMany) };
      });
    });
  }

  #label(id, curve, isMany) {
    const kind = curve.phase === "train" ? "" : [curve.phase, curve.eval_set].filter(Boolean).join(" ");
    const what = curve.rewound ? `replaced, attempt ${curve.attempt}` : kind;
    if (!isMany) return what || "train";
    return [this.model.run(id)?.name ?? id, what].filter(Boolean).join(" · ");
  }

  /** The alerts on a metric that have a place on the axis. */
  alerts(metric) {
    return this.model.selected.flatMap((id) =>
      (this.model.verdicts.get(id)?.alerts ?? [])
        .filter((alert) => alert.metric === metric)
        .map((alert) => ({ ...alert, from: this.#place(id, alert.first_step), to: this.#place(id, alert.last_step) }))
        .filter((alert) => alert.from !== null),
    );
  }

  /** The seams that have a place on the axis. */
  seams() {
    return this.model.selected.flatMap((id) =>
      (this.model.details.get(id)?.seams ?? [])
        .map((seam) => ({ ...seam, at: this.model.axis === "wall_time" ? seam.wall_time : seam.first_step }))
        .filter((seam) => seam.at !== null),
    );
  }

  #place(id, step) {
    return this.model.axis === "step" ? step : translated(this.model.clocks.get(id), step);
  }

  /** Take in events as they come. */
  add(id, rank, events) {
    const { changed, again } = this.model.add(id, rank, events, (metric, x) => this.#alsoInto(id, metric, x));
    this.touch([...changed].filter((metric) => this.charts.get(metric)?.isSeen));
    for (const metric of changed) this.#thinAgain(id, metric);
    return again;
  }

  #alsoInto(id, metric, x) {
    const fine = this.fine.get(key("fine", id, metric));
    return fine && x <= this.zoomedTo[1] ? [fine] : [];
  }

  /** A curve that has grown very long is asked for again, thinned. */
  #thinAgain(id, metric) {
    const limit = 3 * FULL * this.#points();
    if (!this.model.curvesOf(id, metric).some((curve) => curve.x.length > limit)) return;
    this.asked.delete(key("all", id, metric));
    this.#request();
  }

  /** Ask again for all that is shown of a run. */
  reload(id) {
    this.model.outdate(id);
    this.#request();
  }

  /** Ask again if something was asked for already, which may be older than what comes now. */
  overtake(id) {
    if ([...this.asked.keys()].some((each) => each.startsWith(`all ${id} `))) this.reload(id);
  }

  #points() {
    const width = this.#visible()[0]?.plot.clientWidth || 600;
    return Math.max(LEAST_POINTS, Math.ceil(width / 100) * 100);
  }

  /** Ask for what is visible and not there: soon, and all together. */
  #request() {
    if (this.requesting) return;
    this.requesting = true;
    queueMicrotask(() => {
      this.requesting = false;
      for (const id of this.model.selected) this.#ask(id);
    });
  }

  #ask(id) {
    const known = this.model.details.get(id)?.metrics;
    if (!known) return;
    const shown = this.#visible().map((chart) => chart.metric).filter((metric) => metric in known);
    this.#askFor(id, shown, "all", this.model.version(id), {});
    if (!this.zoomedTo || !this.source.isLive) return;
    const [from, to] = this.zoomedTo;
    const margin = (to - from) * MARGIN;
    this.#askFor(id, shown, "fine", `${this.model.version(id)} ${from} ${to}`, { from: from - margin, to: to + margin });
  }

  #askFor(id, shown, kind, version, bounds) {
    const missing = shown.filter((metric) => this.asked.get(key(kind, id, metric)) !== version);
    for (let at = 0; at < missing.length; at += AT_ONCE) {
      const metrics = missing.slice(at, at + AT_ONCE);
      for (const metric of metrics) this.asked.set(key(kind, id, metric), version);
      this.#load(id, metrics, kind, version, bounds);
    }
  }

  async #load(id, metrics, kind, version, bounds) {
    const { axis } = this.model;
    const isWanted = (metric) => axis === this.model.axis && this.asked.get(key(kind, id, metric)) === version;
    let answer;
    try {
      const query = { metrics, points: this.#points(), x: axis, ...bounds };
      answer = await this.source.series(id, query, kind === "fine" ? this.zoomings?.signal : undefined);
    } catch (error) {
      for (const metric of metrics) if (isWanted(metric)) this.asked.delete(key(kind, id, metric));
      if (error.name !== "AbortError") this.told.failed(id, error);
      return;
    }
    const wanted = metrics.filter(isWanted);
    if (kind === "all") this.model.setSeries(id, wanted, answer);
    else for (const metric of wanted) this.fine.set(key(kind, id, metric), answer.series.filter((curve) => curve.metric === metric).map(ascending));
    this.model.replay(id, wanted, (metric, x) => this.#alsoInto(id, metric, x));
    for (const metric of wanted) this.loaded.set(key(kind, id, metric), version);
    if (kind === "all") this.touch(wanted);
    else this.#drawNow(wanted);
    this.told.loaded();
    if (answer.progress < 1) setTimeout(() => this.#readOn(id, metrics, kind), 700);
  }

  /** Ask again for what the server had not read to its end. */
  #readOn(id, metrics, kind) {
    for (const metric of metrics) this.asked.delete(key(kind, id, metric));
    this.#request();
  }

  /** Show the chart of a metric, with a range. */
  show(metric, range) {
    const chart = this.charts.get(metric);
    if (!chart) return;
    chart.card.closest("details")?.setAttribute("open", "");
    if (range) this.zoom(range);
    chart.card.scrollIntoView({ block: "center" });
    chart.card.focus({ preventScroll: true });
  }

  setLog(log) {
    for (const chart of this.charts.values()) {
      chart.log = log;
      chart.setLog(log);
    }
  }

  /** What the search has found; a note when that is nothing. */
  static none(search) {
    const note = element("p", { class: "quiet-note" });
    say(note, `No metric has “${search}” in its name.`);
    return note;
  }
}

function key(kind, id, metric) {
  return `${kind} ${id} ${metric}`;
}
