/** What the page knows of the runs: their entries, facts, verdicts and curves. It asks nobody and draws nothing. */

import { append, ascending, curveKey, empty } from "./curves.js";

const REMEMBERED = 4000;

export class Model {
  constructor() {
    /** Entries as the server lists them. */
    this.runs = [];
    this.passedOver = [];
    this.folder = "";
    /** The ids of the runs that are shown, the first one set the others over it. */
    this.selected = [];
    this.details = new Map();
    this.verdicts = new Map();
    this.clocks = new Map();
    this.errors = new Map();
    /** By run, and in it by metric. */
    this.curves = new Map();
    /** Grows when all curves of a run have to be asked for again. */
    this.versions = new Map();
    this.axis = "step";
    this.attempts = new Map();
    /** By run, its last events: an answer may be older than what has come while it was on its way. */
    this.recent = new Map();
  }

  run(id) {
    return this.runs.find((each) => each.id === id);
  }

  /** Take in entries that are new or have changed; the most recently written run comes first. */
  setRuns(entries, gone = []) {
    const all = new Map(this.runs.map((run) => [run.id, run]));
    for (const id of gone) all.delete(id);
    for (const run of entries) all.set(run.id, run);
    const isRunning = (run) => run.state === "training" || run.state === "stalled";
    this.runs = [...all.values()].sort((one, other) => isRunning(other) - isRunning(one) || other.updated - one.updated || (one.name < other.name ? -1 : 1));
  }

  /** The names of all metrics of the runs that are shown. */
  metrics() {
    return [...new Set(this.selected.flatMap((id) => Object.keys(this.details.get(id)?.metrics ?? {})))];
  }

  /** What a metric means, as far as a run says it. */
  meaning(metric) {
    const found = this.selected.map((id) => this.details.get(id)?.metrics[metric]).find((each) => each);
    return found ?? { unit: null, meaning: null };
  }

  curvesOf(id, metric) {
    return this.curves.get(id)?.get(metric) ?? [];
  }

  version(id) {
    return this.versions.get(id) ?? 0;
  }

  /** Ask for everything of a run again; what is there stays until then. */
  outdate(id) {
    this.versions.set(id, this.version(id) + 1);
  }

  setAxis(axis) {
    this.axis = axis;
    this.curves.clear();
    for (const { id } of this.runs) this.outdate(id);
  }

  /** Where attempts took over from others, as far as it has been judged by now. */
  setSeams(id, seams) {
    const details = this.details.get(id);
    if (details && seams.length >= details.seams.length) details.seams = seams;
  }

  setDetails(id, details) {
    this.details.set(id, details);
    this.errors.delete(id);
    this.attempts.set(id, Math.max(1, this.attempts.get(id) ?? 1, ...details.seams.map((seam) => seam.attempt)));
  }

  /** Take in curves as they were asked for, in the place of those that are there. */
  setSeries(id, metrics, answer) {
    const all = this.curves.get(id) ?? new Map();
    this.curves.set(id, all);
    for (const metric of metrics) all.set(metric, answer.series.filter((curve) => curve.metric === metric).map(ascending));
    this.clocks.set(id, answer.clock ?? []);
  }

  /**
   * Take in events as they come.
   *
   * Returns the metrics whose curves have changed, and whether the run has to be asked about again: a new attempt
   * replaces a part of what is there, and a new metric has to be explained.
   */
  add(id, rank, events, alsoInto) {
    const changed = new Set();
    const entry = this.run(id);
    if (entry?.ranks.length && rank !== entry.ranks[0]) return { changed, again: false };
    this.recent.set(id, [...(this.recent.get(id) ?? []), ...events].slice(-REMEMBERED));
    const known = this.details.get(id)?.metrics;
    if (!known) return { changed, again: false };
    const before = this.attempts.get(id);
    const attempt = events.reduce((most, event) => Math.max(most, attemptOf(event)), before);
    this.attempts.set(id, attempt);
    for (const event of events) {
      if (attemptOf(event) === attempt) this.#tick(id, event);
      for (const metric of this.#addOne(id, event, alsoInto)) changed.add(metric);
    }
    const isBack = events.some((event) => event.model_info.attempt === undefined && this.#isBehind(id, event));
    const isNew = events.some((event) => Object.keys(event.metrics).some((metric) => !(metric in known)));
    return { changed, again: isNew || isBack || attempt > before };
  }

  /** Add to curves that have just been asked for what has come in the meantime. */
  replay(id, metrics, alsoInto) {
    const wanted = new Set(metrics);
    for (const event of this.recent.get(id) ?? []) this.#addOne(id, event, alsoInto, wanted);
  }

  #addOne(id, event, alsoInto, wanted = null) {
    const x = this.axis === "step" ? event.step : event.wall_time;
    if (x === null || attemptOf(event) < this.attempts.get(id)) return [];
    return Object.entries(event.metrics)
      .filter(([metric, value]) => {
        const kind = event.nonfinite?.[metric];
        const curves = this.curves.get(id)?.get(metric);
        if (!curves || (value === null && !kind) || (wanted && !wanted.has(metric))) return false;
        const places = [curves, ...alsoInto(metric, x)];
        return places.filter((place) => append(curveOf(place, metric, event), x, event.step, value, kind)).length;
      })
      .map(([metric]) => metric);
  }

  /** Whether training went back: where no attempt is named, a new one has begun. */
  #isBehind(id, event) {
    return (event.model_info.phase ?? "train") === "train" && event.step < (this.clocks.get(id)?.at(-1)?.[0] ?? 0);
  }

  /** Remember when a step was. */
  #tick(id, event) {
    const clock = this.clocks.get(id) ?? [];
    const [step, time] = clock.at(-1) ?? [-1, -1];
    if ((event.model_info.phase ?? "train") === "train" && event.step > step && event.wall_time >= time) {
      clock.push([event.step, event.wall_time]);
      this.clocks.set(id, clock);
    }
  }
}

function attemptOf(event) {
  return event.model_info.attempt ?? 1;
}

/** The curve that an event is a point of. */
function curveOf(curves, metric, event) {
  const fresh = empty(metric, event.model_info.phase ?? "train", event.data_slice.eval_set ?? null);
  const found = curves.find((curve) => !curve.rewound && curveKey(curve) === curveKey(fresh));
  if (!found) curves.push(fresh);
  return found ?? fresh;
}
