/** Gives what was put into the page itself: a report is one file, and asks no server. */

/** The data of a report; null in a page that is served. */
export function embedded() {
  const found = document.getElementById("rldk-data");
  return found ? new Embedded(JSON.parse(found.textContent)) : null;
}

class Embedded {
  isLive = false;

  constructor(data) {
    this.data = data;
  }

  start(hear) {
    hear.connection("file", { made: this.data.made });
    hear.frame({ type: "runs", runs: this.data.runs.map((each) => each.details.run), passed_over: [] });
  }

  listen() {}

  async details(id) {
    return this.#run(id).details;
  }

  async alerts(id) {
    return this.#run(id).alerts;
  }

  async series(id, { metrics, x }) {
    const wanted = new Set(metrics);
    const all = this.#run(id).series[x];
    return { ...all, series: all.series.filter((curve) => wanted.has(curve.metric)) };
  }

  #run(id) {
    return this.data.runs.find((each) => each.details.run.id === id);
  }
}
