/** One metric as a card: its curves, and on them alerts, seams and values that are not finite. */

import { curveKey, nearest, smoothed } from "./curves.js";
import { element, icon, refill, say } from "./dom.js";
import { clockTick, duration, number, plural, tick } from "./words.js";

const HEIGHT = 168;
const TALL = 400;
const TIMES = [...steps(-6, -1), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 43200, ...steps(0, 4).map((days) => days * 86400)];
const LETTER = 6.5;
const ROOM = 12;
const MARK = 9;
const LABELLED = 6;
const NEAR = 0.02;
const EXPAND = "M9.5 2H14v4.5M14 2 9 7M6.5 14H2V9.5M2 14l5-5";

export class Chart {
  /**
   * The `board` is asked for all that charts have in common: `colours`, `range()`, `settings`, and told of what is
   * done to one of them: `zoom(range)`.
   */
  constructor(metric, board) {
    this.metric = metric;
    this.board = board;
    this.log = board.settings.log;
    this.isSeen = false;
    this.lines = [];
    this.#build();
  }

  #build() {
    this.latest = element("span", { class: "number" });
    this.unit = element("span", { class: "unit" });
    this.meaning = element("p", { class: "meaning" });
    this.logButton = element("button", { class: "chip", type: "button", title: "Logarithmic scale of this chart", onclick: () => this.setLog(!this.log) }, "log");
    this.sizeButton = element("button", { class: "chip", type: "button", "aria-label": "Large", title: "Large (Enter)", onclick: () => this.resize() }, icon(EXPAND));
    this.plot = element("div", { class: "plot" });
    this.legend = element("ul", { class: "legend" });
    this.notes = element("p", { class: "notes" });
    this.card = element(
      "article",
      { class: "card loading", tabindex: 0, "data-metric": this.metric, onkeydown: (event) => this.#press(event) },
      element("header", {}, element("h3", { title: this.metric }, this.metric), element("span", { class: "value" }, this.latest, this.unit)),
      element("div", { class: "under-head" }, this.meaning, this.logButton, this.sizeButton),
      this.plot,
      this.legend,
      this.notes,
    );
    this.setMeaning();
    this.#showLog();
  }

  setMeaning() {
    const { unit, meaning } = this.board.model.meaning(this.metric);
    say(this.unit, unit && unit !== this.metric ? ` ${unit}` : "");
    this.meant = meaning?.replace("<f>", this.metric.split("/").slice(1).join("/")) ?? "";
    this.meaning.title = this.meant;
    say(this.meaning, this.meant);
  }

  setLog(log) {
    this.log = log;
    this.#showLog();
    this.#clear();
    this.draw();
  }

  #showLog() {
    this.logButton.setAttribute("aria-pressed", String(this.log));
  }

  resize(large = !this.card.classList.contains("large")) {
    this.card.classList.toggle("large", large);
    this.sizeButton.setAttribute("aria-pressed", String(large));
    this.fit();
  }

  /** Take the width that there is. */
  fit() {
    const width = this.plot.clientWidth;
    const height = this.card.classList.contains("large") ? TALL : HEIGHT;
    if (this.u && width && (this.u.width !== width || this.u.height !== height)) this.u.setSize({ width, height });
  }

  /** Draw anew with what the board has. */
  draw() {
    const lines = this.board.lines(this.metric);
    const isThere = lines.some((line) => line.curve.x.length || line.curve.nonfinite.length);
    this.card.classList.toggle("loading", !isThere && !this.board.isLoaded(this.metric));
    this.card.classList.toggle("bare", !isThere && this.board.isLoaded(this.metric));
    const before = this.lines;
    this.lines = lines;
    if (isThere && this.plot.clientWidth) this.#plot(before);
    this.#readout(this.board.pointed);
    this.#note();
  }

  /** Forget what was drawn: colours or scales are others now. */
  restyle() {
    this.#clear();
    this.draw();
  }

  destroy() {
    this.#clear();
    this.card.remove();
  }

  #clear() {
    this.u?.destroy();
    this.u = null;
  }

  #plot(before) {
    const drawn = this.#series();
    const shape = this.#shape(drawn);
    const same = this.u && this.shape === shape && before.length === this.lines.length;
    const data = joined(drawn);
    if (same) {
      this.u.batch(() => {
        this.u.setData(data, false);
        this.#scale();
      });
      return;
    }
    this.#clear();
    this.shape = shape;
    this.u = new globalThis.uPlot(this.#options(drawn), data, this.plot);
    this.#scale();
  }

  /** What is drawn: every curve, and the running mean over it when that was asked for. */
  #series() {
    const share = this.board.settings.smoothing / 100;
    const [low, high] = this.board.range();
    const replaced = this.lines.filter((line) => line.curve.rewound);
    const counting = this.lines.filter((line) => !line.curve.rewound);
    return [
      ...replaced.map((line) => ({ line, x: line.curve.x, y: line.curve.y, kind: "rewound" })),
      ...counting.map((line) => ({ line, x: line.curve.x, y: line.curve.y, kind: share ? "raw" : "plain" })),
      ...(share ? counting : []).map((line) => ({ line, x: line.curve.x, y: smoothed(line.curve.x, line.curve.y, (high - low) * share), kind: "smooth" })),
    ];
  }

  #options(drawn) {
    const { colours } = this.board;
    const distr = this.#distr();
    const axis = { stroke: colours.faint, font: "11px system-ui, sans-serif", grid: { stroke: colours.grid, width: 1 }, ticks: { show: false } };
    const isTime = this.board.model.axis === "wall_time";
    const spoken = isTime ? clockTick : tick;
    return {
      width: this.plot.clientWidth,
      height: this.card.classList.contains("large") ? TALL : HEIGHT,
      padding: [12, 10, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7, fill: (u, at) => u.series[at].stroke(), width: 0, stroke: "transparent" },
        dataIdx: (u, at, hovered) => (u.data[at][hovered] == null ? near(u, at, hovered) : hovered),
      },
      scales: { x: { time: false, auto: false }, y: { distr, asinh: this.#bend(), range: { 1: ranged, 3: rangedByFactor }[distr] } },
      axes: [
        {
          ...axis,
          size: 26,
          gap: 6,
          incrs: isTime ? TIMES : steps(0, 15),
          values: (u, splits, at, space, step) => splits.map((value) => spoken(value, step)),
          space: (u, at, min, max) => wide([min, max].map((end) => spoken(isTime ? end : Math.round(end), (max - min) / 4)), 44),
        },
        {
          ...axis,
          size: (u, texts) => wide(texts, 48),
          gap: 6,
          values: (u, splits, at, space, step) => splits.map((value) => (value === null ? "" : distr === 1 ? tick(value, step) : tick(Number(value.toPrecision(3))))),
          space: distr === 1 ? 34 : 22,
        },
      ],
      series: [{}, ...drawn.map((each) => this.#line(each))],
      hooks: {
        drawClear: [(u) => this.#under(u)],
        draw: [(u) => this.#over(u)],
        setSelect: [(u) => this.#select(u)],
        setCursor: [(u) => this.#point(u)],
      },
    };
  }

  #line({ line, kind, x }) {
    const colour = line.colour;
    const isEval = line.curve.phase !== "train";
    const widths = { plain: 1.25, raw: 1, smooth: 2.25, rewound: 1.25 };
    return {
      stroke: () => colour,
      width: widths[kind],
      alpha: { plain: 1, raw: 0.32, smooth: 1, rewound: 0.4 }[kind],
      dash: isEval ? [6, 3] : undefined,
      points: isEval && kind !== "smooth" ? { show: true, size: 6, fill: colour } : { size: 5, fill: colour, ...(x.length < 2 ? { show: true } : {}) },
    };
  }

  /** How values are spread over the scale: evenly (1), by their logarithm (3), or by that on both sides of 0 (4). */
  #distr() {
    return this.log ? (this.#least() > 0 ? 3 : 4) : 1;
  }

  /** What cannot be changed of a plot that is there. */
  #shape(drawn) {
    const distr = this.#distr();
    return JSON.stringify([distr, distr === 4 && Math.round(Math.log10(this.#bend())), drawn.map(({ line, kind, x }) => [line.run, curveKey(line.curve), kind, line.colour, x.length < 2])]);
  }

  /** The least value of all curves. */
  #least() {
    return this.lines.reduce((least, { curve }) => curve.y.reduce((low, y) => (y !== null && y < low ? y : low), least), Infinity);
  }

  /** Below which size a scale with negative values is even. */
  #bend() {
    const sizes = this.lines.flatMap(({ curve }) => curve.y.filter(Boolean).map(Math.abs));
    const most = sizes.reduce((high, size) => Math.max(high, size), 0);
    return Math.max(most / 1e4, sizes.reduce((low, size) => Math.min(low, size), Infinity)) || 1;
  }

  #scale() {
    const [min, max] = this.board.range();
    this.u.setScale("x", { min, max: max > min ? max : min + 1 });
  }

  #select(u) {
    if (u.select.width < 4) return;
    const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.board.zoom([from, to]);
  }

  /** Spans in which an alert was found, and seams, below the curves. */
  #under(u) {
    const { colours } = this.board;
    const { left, top, width, height } = u.bbox;
    const pixels = globalThis.devicePixelRatio;
    const { ctx } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - pixels, top - MARK * pixels, width + 2 * pixels, height + MARK * pixels);
    ctx.clip();
    for (const alert of this.board.alerts(this.metric)) {
      const [begin, end] = [alert.from, alert.to].map((x) => Math.round(u.valToPos(x, "x", true)));
      ctx.fillStyle = colours[alert.severity];
      ctx.globalAlpha = alert.state === "firing" ? 0.1 : 0.05;
      ctx.fillRect(begin - pixels, top, Math.max(end - begin, 0) + 2 * pixels, height);
      ctx.globalAlpha = alert.state === "firing" ? 1 : 0.5;
      ctx.fillRect(begin, top, pixels, height);
      pennant(ctx, begin, top, pixels, begin > left + width - 10 * pixels ? -1 : 1);
    }
    this.#seams(u, ctx, pixels);
    ctx.restore();
  }

  #seams(u, ctx, pixels) {
    const { colours } = this.board;
    const { left, top, width, height } = u.bbox;
    const seams = this.board.seams();
    const labels = [];
    ctx.globalAlpha = 1;
    ctx.strokeStyle = colours.seam;
    ctx.lineWidth = pixels;
    ctx.setLineDash([2 * pixels, 3 * pixels]);
    for (const seam of seams) {
      const at = Math.round(u.valToPos(seam.at, "x", true)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(at, top);
      ctx.lineTo(at, top + height);
      ctx.stroke();
      if (seams.length > LABELLED) continue;
      labels.push([`attempt ${seam.attempt}`, at, at > left + width - 60 * pixels ? -1 : 1]);
    }
    this.labels = labels;
  }

  /** The names of attempts, over the curves, so that they can be read. */
  #names(u, ctx, pixels) {
    const { colours } = this.board;
    const base = u.bbox.top + u.bbox.height - 6 * pixels;
    ctx.font = `${10 * pixels}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    for (const [text, at, side] of this.labels ?? []) {
      if (at < u.bbox.left || at > u.bbox.left + u.bbox.width) continue;
      const wide = ctx.measureText(text).width;
      const from = side > 0 ? at + 4 * pixels : at - 4 * pixels - wide;
      ctx.globalAlpha = 0.8;
      ctx.fillStyle = colours.panel;
      ctx.fillRect(from - 2 * pixels, base - 10 * pixels, wide + 4 * pixels, 13 * pixels);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colours.seam;
      ctx.fillText(text, from, base);
    }
  }

  /** Values that are not finite, above the curves: a cross at the top for NaN, arrows for the infinities. */
  #over(u) {
    const { colours } = this.board;
    const { left, top, width, height } = u.bbox;
    const pixels = globalThis.devicePixelRatio;
    const { ctx } = u;
    ctx.save();
    this.#names(u, ctx, pixels);
    ctx.strokeStyle = ctx.fillStyle = colours.nonfinite;
    for (const { curve } of this.lines) {
      ctx.globalAlpha = curve.rewound ? 0.4 : 1;
      for (const [x, kind] of curve.nonfinite) {
        const at = u.valToPos(x, "x", true);
        if (at < left - 1 || at > left + width + 1) continue;
        nonfiniteMark(ctx, kind, at, kind === "-Infinity" ? top + height - 7 * pixels : top + 7 * pixels, pixels);
      }
    }
    ctx.restore();
    this.#tell();
  }

  /** Say in words what was drawn, for those who do not see it. */
  #tell() {
    const counting = this.lines.filter((line) => !line.curve.rewound);
    const points = counting.reduce((sum, { curve }) => sum + curve.x.length, 0);
    const [alerts, seams, marks] = [this.board.alerts(this.metric).length, this.board.seams().length, this.#nonfinite()];
    const replaced = this.lines.length - counting.length;
    Object.assign(this.card.dataset, { drawn: points, alerts, seams, nonfinite: marks.reduce((sum, [, , count]) => sum + count, 0), rewound: replaced });
    const parts = [
      `${this.metric}: ${plural(points, "point")} drawn`,
      alerts && plural(alerts, "alert"),
      marks.length && `${this.card.dataset.nonfinite} not finite`,
      seams && plural(seams, "seam"),
      replaced && "a rewound branch",
    ];
    this.card.setAttribute("aria-label", parts.filter(Boolean).join(", "));
  }

  #nonfinite() {
    return this.lines.filter(({ curve }) => !curve.rewound).flatMap(({ curve }) => curve.nonfinite);
  }

  /** What stands below the curves: how many values are not finite, and which alerts are on them. */
  #note() {
    const marks = this.#nonfinite();
    const counts = new Map();
    for (const [, kind, count] of marks) counts.set(kind, (counts.get(kind) ?? 0) + count);
    const isTime = this.board.model.axis === "wall_time";
    const first = marks.reduce((low, [x]) => Math.min(low, x), Infinity);
    const said = [...counts].map(([kind, count]) => `${count.toLocaleString("en")} ${kind}`).join(", ");
    refill(
      this.notes,
      marks.length ? element("span", { class: "tag nonfinite" }, `${said}, first at ${isTime ? duration(first) : `step ${number(first)}`}`) : null,
      [...new Map(this.board.alerts(this.metric).map((alert) => [alert.rule, alert])).values()].slice(0, 3).map((alert) => element("span", { class: `tag ${alert.severity} ${alert.state}`, title: alert.message }, alert.rule)),
      this.log && this.#least() <= 0 ? element("span", { class: "tag quiet" }, "log scale on both sides of 0") : null,
    );
  }

  #point(u) {
    // New data moves the cursor of uPlot, too; only the reader's own moves count.
    if (this.board.isDrawing) return;
    const { left, idx } = u.cursor;
    this.board.point(left >= 0 && idx !== null ? u.data[0][idx] : null, this);
  }

  /** Tell the values at x; the cursor of a chart that is `led` by another one goes there. */
  point(x, led) {
    if (led && this.u) this.u.setCursor(x === null ? { left: -10, top: -10 } : { left: this.u.valToPos(x, "x"), top: 0 }, false);
    this.#readout(x);
  }

  /** The values at x, or the newest ones of all, whatever range is shown. */
  #readout(x) {
    const found = this.lines.map((line) => ({ line, ...valueAt(x === null ? line.whole : line.curve, x) }));
    const replaced = found.filter(({ line }) => line.curve.rewound);
    const told = found.filter(({ line, text }) => text !== null && !line.curve.rewound);
    const one = told.find(({ line }) => line.curve.phase === "train") ?? told[0];
    say(this.latest, one ? one.text : "–");
    this.card.classList.toggle("reading", x !== null);
    say(this.meaning, x === null ? this.meant : this.board.spoken(x));
    const isMany = this.lines.length > 1;
    const counting = isMany ? found.filter(({ line }) => !line.curve.rewound) : [];
    refill(
      this.legend,
      counting.map(({ line, text }) => entry(line.colour, line.label, text ?? "–", line.curve.phase)),
      replaced.length ? entry(replaced[0].line.colour, "replaced", replaced.find(({ text }) => x !== null && text)?.text ?? "", "rewound") : null,
    );
  }

  #press(event) {
    if (event.target !== this.card) return;
    if (event.key === "Enter") this.resize();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.#step(event.key === "ArrowLeft" ? -1 : 1, event.shiftKey ? 10 : 1);
    else return;
    event.preventDefault();
  }

  /** Move the cursor from point to point, among those that are shown. */
  #step(direction, count) {
    const { u } = this;
    if (!u) return;
    const xs = u.data[0];
    const { min, max } = u.scales.x;
    const [first, last] = [xs.findIndex((x) => x >= min), xs.findLastIndex((x) => x <= max)];
    if (first < 0 || last < first) return;
    const here = u.cursor.left >= 0 ? u.valToIdx(u.posToVal(u.cursor.left, "x")) : direction < 0 ? last + 1 : first - 1;
    const at = Math.max(first, Math.min(last, here + direction * count));
    u.setCursor({ left: u.valToPos(xs[at], "x"), top: u.over.clientHeight / 2 });
  }
}

function entry(colour, label, text, kind) {
  const swatch = element("span", { class: `line ${kind}` });
  swatch.style.borderColor = colour;
  return element("li", {}, swatch, element("span", { class: "label" }, label), element("span", { class: "number" }, text));
}

/** All curves on one axis, as uPlot wants them; undefined is no gap there, and null is one. */
function joined(drawn) {
  if (drawn.length === 1) return [drawn[0].x, drawn[0].y];
  return globalThis.uPlot.join(drawn.map(({ x, y }) => [x, y]));
}

/** The next place with a value in a series, null when it is far: curves of one chart need not have the same x. */
function near(u, at, hovered) {
  const [xs] = u.data;
  const found = nearest(xs, u.data[at], xs[hovered]);
  const isFar = found < 0 || Math.abs(xs[found] - xs[hovered]) > (u.scales.x.max - u.scales.x.min) * NEAR;
  return isFar ? null : found;
}

function valueAt(curve, x) {
  const marks = curve.nonfinite;
  if (x === null) {
    const mark = marks.at(-1);
    if (mark && mark[0] > (curve.x.at(-1) ?? -Infinity)) return { text: mark[1] };
    return { text: curve.y.length ? number(curve.y.at(-1)) : null };
  }
  const at = nearest(curve.x, curve.y, x);
  const far = at < 0 ? Infinity : Math.abs(curve.x[at] - x);
  const mark = marks.find((each) => Math.abs(each[0] - x) < far);
  if (mark) return { text: mark[1] };
  const ends = [curve.x[0], curve.x.at(-1)];
  const reach = (ends[1] - ends[0]) * 0.05 + 1;
  return { text: at < 0 || x < ends[0] - reach || x > ends[1] + reach ? null : number(curve.y[at]) };
}

function ranged(u, low, high) {
  if (low === null || !Number.isFinite(low)) return [0, 1];
  const pad = high > low ? (high - low) * 0.08 : Math.abs(low) * 0.1 || 1;
  const isPositive = low >= 0 && low - pad < 0;
  return [isPositive ? Math.min(low, 0) : low - pad, high + pad];
}

function rangedByFactor(u, low, high) {
  if (low === null || !(low > 0)) return [0.1, 1];
  return high > low ? [low / 1.15, high * 1.15] : [low / 2, high * 2];
}

/** Round numbers of these powers of ten. */
function steps(first, last) {
  return Array.from({ length: last - first + 1 }, (_, at) => [1, 2, 5].map((each) => Number(`${each}e${first + at}`))).flat();
}

/** How wide the longest of these texts is beside an axis, at least `least`. */
function wide(texts, least) {
  return Math.max(least, ...(texts ?? []).map((text) => text.length * LETTER + ROOM));
}

function pennant(ctx, x, y, pixels, side) {
  ctx.beginPath();
  ctx.moveTo(x, y - 8 * pixels);
  ctx.lineTo(x + 8 * side * pixels, y - 4 * pixels);
  ctx.lineTo(x, y);
  ctx.fill();
  ctx.fillRect(x, y - 8 * pixels, pixels, 8 * pixels);
}

function nonfiniteMark(ctx, kind, x, y, pixels) {
  const size = 3.5 * pixels;
  ctx.beginPath();
  if (kind === "NaN") {
    ctx.lineWidth = 1.75 * pixels;
    ctx.moveTo(x - size, y - size);
    ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size);
    ctx.lineTo(x - size, y + size);
    ctx.stroke();
    return;
  }
  const tip = kind === "Infinity" ? -1 : 1;
  ctx.moveTo(x, y + tip * size * 1.2);
  ctx.lineTo(x + size, y - tip * size);
  ctx.lineTo(x - size, y - tip * size);
  ctx.fill();
}
