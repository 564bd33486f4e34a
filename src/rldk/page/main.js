/** The page: puts its parts together, and lets what comes from the server flow through them. */

import { Board } from "./board.js";
import { element, icon, refill, say } from "./dom.js";
import { embedded } from "./embedded.js";
import { keysDialog, listenToKeys } from "./keys.js";
import { Live, Refused } from "./live.js";
import { Model } from "./model.js";
import { runList } from "./runs.js";
import { Settings, SMOOTHINGS } from "./settings.js";
import { connectionStrip, noMetrics, noneChosen, noRuns, refused, waiting, withoutCharts } from "./states.js";
import { toolbar } from "./toolbar.js";
import { verdictPanel } from "./verdict.js";

const MOST_RUNS = 8;
const AGAIN = 600;
const THEME = "M8 1.5a6.5 6.5 0 1 0 0 13zM8 1.5a6.5 6.5 0 0 1 0 13";
const MENU = "M2.5 4.5h11M2.5 8h11M2.5 11.5h11";

class Page {
  constructor() {
    this.settings = new Settings();
    this.model = new Model();
    this.model.axis = this.settings.axis;
    this.model.selected = this.settings.runs;
    this.source = embedded() ?? new Live();
    this.isKnown = false;
    this.reasking = new Map();
    this.board = new Board(this.model, this.source, this.settings, { zoomed: () => this.#showTools(), loaded: () => this.#loaded(), failed: (id, error) => this.#failed(id, error) });
    const colour = (id) => this.board.colour(id);
    this.colour = colour;
    this.list = runList(this.model, colour, { choose: (id) => this.choose([id]), overlay: (id) => this.overlay(id) });
    this.tools = toolbar(this.settings, {
      search: (text) => this.search(text),
      axis: (axis) => this.setAxis(axis),
      log: (log) => this.setLog(log),
      smooth: (share) => this.smooth(share),
      zoom: (range) => this.board.zoom(range),
      zoomBy: (factor) => this.board.zoomBy(factor),
    });
    this.strip = connectionStrip(() => this.source.retry());
    this.keys = keysDialog();
    this.#build();
    this.#listen();
  }

  #build() {
    this.status = element("span", { class: "connection connecting", role: "status" }, "connecting");
    this.folder = element("span", { class: "folder" });
    this.top = verdictPanel(this.model, this.colour, { show: (id, alert) => this.#showAlert(id, alert) });
    this.stage = element("div", { class: "stage-place" });
    this.side = element("nav", { class: "side", "aria-label": "Runs" }, this.list.root);
    this.menu = element("button", { class: "chip menu", type: "button", "aria-expanded": "false", onclick: () => this.#fold() }, icon(MENU), " runs");
    document.body.append(
      element(
        "header",
        { class: "bar-top" },
        this.menu,
        element("span", { class: "brand" }, element("span", { class: "brand-mark" }), "RLDK"),
        this.folder,
        this.status,
        element("button", { class: "chip", type: "button", "aria-label": "Theme", title: "Theme: auto, light, dark (t)", onclick: () => this.nextTheme() }, icon(THEME)),
        element("button", { class: "chip help", type: "button", "aria-label": "Keys", title: "Keys (?)", onclick: () => this.keys.showModal() }, "?"),
      ),
      this.strip.root,
      element("div", { class: "page" }, this.side, element("main", {}, this.top.root, this.tools.root, this.stage, this.board.root)),
      this.keys,
    );
    // Beside the curves a double click selects a word, as everywhere.
    this.board.root.addEventListener("dblclick", (event) => event.target.closest(".plot") && this.board.zoom(null));
    this.render();
  }

  #listen() {
    listenToKeys({
      "/": () => this.tools.focusSearch(),
      j: () => this.#next(1),
      k: () => this.#next(-1),
      x: () => this.setAxis(this.settings.axis === "step" ? "wall_time" : "step"),
      l: () => this.setLog(!this.settings.log),
      s: () => this.smooth(SMOOTHINGS[(SMOOTHINGS.indexOf(this.settings.smoothing) + 1) % SMOOTHINGS.length]),
      t: () => this.nextTheme(),
      "+": () => this.board.zoomBy(0.5),
      "=": () => this.board.zoomBy(0.5),
      "-": () => this.board.zoomBy(2),
      0: () => this.board.zoom(null),
      Escape: () => this.board.zoom(null),
      ArrowLeft: () => this.board.zoomBy(1, -0.25),
      ArrowRight: () => this.board.zoomBy(1, 0.25),
      "?": () => this.keys.showModal(),
    });
    for (const media of ["(prefers-color-scheme: dark)", "print"]) matchMedia(media).addEventListener("change", () => this.#restyle());
    addEventListener("hashchange", () => location.reload());
    setInterval(() => this.#showRuns(), 5000);
    this.source.start({ frame: (frame) => this.#take(frame), connection: (state, detail) => this.#connection(state, detail) }, this.model.selected);
  }

  #take(frame) {
    if (frame.type === "hello") {
      this.model.folder = frame.folder;
      this.isFirst = true;
      this.#all();
    } else if (frame.type === "runs") this.#takeRuns(frame);
    else if (frame.type === "alerts") this.#takeVerdict(frame);
    else if (frame.type === "events") this.#takeEvents(frame);
    else if (frame.type === "live") this.board.overtake(frame.run);
    else if (frame.type === "gap" || frame.type === "reset") this.#again(frame.run);
  }

  #takeRuns(frame) {
    this.isKnown = true;
    this.model.setRuns(frame.runs, this.isFirst ? this.model.runs.map((run) => run.id) : frame.gone);
    this.isFirst = false;
    const chosen = this.model.selected.filter((id) => this.model.run(id));
    if (chosen.length !== this.model.selected.length || !chosen.length) {
      this.choose(chosen.length ? chosen : this.model.runs.slice(0, 1).map((run) => run.id));
      if (!this.model.runs.length) this.#askWhy();
      return;
    }
    for (const id of chosen) if (!this.model.details.has(id)) this.#ask(id);
    this.render();
  }

  /** There is no run: ask which files were passed over, and why. */
  async #askWhy() {
    try {
      this.model.passedOver = (await this.source.list()).passed_over;
      this.render();
    } catch (error) {
      if (error instanceof Refused) this.#connection("refused");
    }
  }

  #takeVerdict({ run: id, verdict, seams }) {
    if (!verdict || !this.model.selected.includes(id)) return;
    this.model.verdicts.set(id, verdict);
    // They are found by those who judge, which may be long after the events behind them have come.
    this.model.setSeams(id, seams);
    this.top.refresh();
    this.board.touch();
  }

  #takeEvents({ run, rank = 0, events }) {
    if (!this.model.selected.includes(run)) return;
    if (this.board.add(run, rank, events)) this.#again(run);
  }

  /** Ask for everything that is shown: at the beginning, and when the connection is there again. */
  #all() {
    for (const id of this.model.selected) this.#again(id, 0);
  }

  /** Ask about a run again, soon and once. */
  #again(id, wait = AGAIN) {
    if (this.reasking.has(id)) return;
    this.reasking.set(id, setTimeout(() => {
      this.reasking.delete(id);
      if (this.model.selected.includes(id)) this.#ask(id);
    }, wait));
  }

  async #ask(id) {
    try {
      const [details, alerts] = await Promise.all([this.source.details(id), this.source.alerts(id)]);
      this.model.setDetails(id, details);
      if (alerts.verdict) this.model.verdicts.set(id, alerts.verdict);
    } catch (error) {
      this.#failed(id, error);
      return;
    }
    this.board.reload(id);
    this.render();
  }

  #failed(id, error) {
    if (error instanceof Refused) {
      this.#connection("refused");
      return;
    }
    if (this.connected !== "lost") this.model.errors.set(id, error.message);
    this.top.refresh();
    this.#again(id, 2000);
  }

  #loaded() {
    this.top.refresh();
    this.#showTools();
  }

  #connection(state, detail) {
    const isNew = this.connected !== state;
    this.connected = state;
    const said = { live: "live", lost: "disconnected", refused: "refused", connecting: "connecting", file: `report, ${detail?.made ?? ""}` };
    this.status.className = `connection ${state}`;
    say(this.status, said[state]);
    this.strip.set(state, detail);
    document.body.classList.toggle("stale", state === "lost");
    // What is shown asks for what it lacks, which would be refused again.
    if (state === "refused" && isNew) this.render();
  }

  choose(ids) {
    this.model.selected = ids;
    this.settings.runs = ids;
    this.settings.save();
    for (const id of ids) if (!this.model.details.has(id) && this.model.run(id)) this.#ask(id);
    this.source.listen(ids);
    this.side.classList.remove("open");
    this.board.zoom(null);
    this.board.point(null);
    this.board.touch();
    this.render();
  }

  overlay(id) {
    const { selected } = this.model;
    if (!selected.includes(id)) this.choose([...selected, id].slice(-MOST_RUNS));
    else if (selected.length > 1) this.choose(selected.filter((each) => each !== id));
  }

  #next(direction) {
    const ids = this.model.runs.map((run) => run.id);
    const at = ids.indexOf(this.model.selected[0]) + direction;
    if (ids[at]) this.choose([ids[at]]);
  }

  search(text) {
    this.settings.search = text;
    this.settings.save();
    this.render();
  }

  setAxis(axis) {
    this.settings.axis = axis;
    this.settings.save();
    this.board.setAxis(axis);
    this.#showTools();
  }

  setLog(log) {
    this.settings.log = log;
    this.settings.save();
    this.board.setLog(log);
    this.#showTools();
  }

  smooth(share) {
    this.settings.smoothing = share;
    this.settings.save();
    this.board.touch();
    this.#showTools();
  }

  nextTheme() {
    this.settings.nextTheme();
    this.#restyle();
  }

  #restyle() {
    this.board.restyle();
    this.render();
  }

  #fold() {
    const isOpen = this.side.classList.toggle("open");
    this.menu.setAttribute("aria-expanded", String(isOpen));
  }

  render() {
    say(this.folder, this.model.folder);
    this.#showRuns();
    this.top.refresh();
    const { shown, all } = this.board.refresh();
    this.#showTools();
    this.board.root.hidden = !globalThis.uPlot;
    this.tools.root.hidden = !all || this.board.root.hidden;
    refill(this.stage, this.#stageFor(shown, all));
    this.board.touch();
  }

  /** What stands where the charts would be; null when they are there. */
  #stageFor(shown, all) {
    if (!globalThis.uPlot) return withoutCharts();
    if (this.connected === "refused") return refused();
    if (!this.isKnown) return waiting();
    if (!this.model.runs.length) return noRuns(this.model);
    if (!this.model.selected.length) return noneChosen();
    if (all) return shown ? null : Board.none(this.settings.search);
    const isAsked = this.model.selected.every((id) => this.model.details.has(id) || this.model.errors.has(id));
    return isAsked ? noMetrics(this.model.run(this.model.selected[0])) : waiting();
  }

  #showRuns() {
    this.list.refresh();
    const worst = this.model.runs.find((run) => this.model.selected.includes(run.id));
    document.title = worst ? `${worst.state === "training" ? "▸ " : ""}${worst.name} · RLDK` : "RLDK";
    this.side.hidden = this.model.runs.length < 2 && !this.source.isLive;
    this.menu.hidden = this.side.hidden;
  }

  /** The chart of an alert, with its steps in the middle third. */
  #showAlert(id, alert) {
    const found = this.board.alerts(alert.metric).find((each) => each.rule === alert.rule && each.first_step === alert.first_step);
    if (!found) return;
    const [low, high] = this.board.wide ?? [0, 1];
    const room = Math.max(found.to - found.from, (high - low) / 60);
    if (!this.board.isFound(alert.metric)) this.search("");
    this.board.show(alert.metric, [found.from - room, found.to + room]);
  }

  #showTools() {
    const isTimed = (id) => !this.model.clocks.has(id) || this.model.clocks.get(id).length > 0;
    this.tools.refresh(this.board.zoomedTo, this.model.selected.some(isTimed));
  }
}

new Page();
