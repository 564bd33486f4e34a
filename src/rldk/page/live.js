/** Asks the server, and listens to it: what the page shows while runs train. */

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 4000;
const PATIENCE = 3;

/** The server refused: it wants another token. */
export class Refused extends Error {}

/** The server said why it cannot answer, or did not answer. */
export class Failed extends Error {}

/**
 * A server that is listened to. `hear` has functions: `frame(frame)` for each that comes, and
 * `connection(state, detail)` with `connecting`, `live`, `lost` or `refused`.
 */
export class Live {
  isLive = true;

  constructor() {
    this.pause = FIRST_PAUSE;
    this.runs = null;
  }

  start(hear, runs) {
    this.hear = hear;
    this.listen(runs);
  }

  list() {
    return this.#get("api/runs");
  }

  details(id) {
    return this.#get(`api/runs/${encodeURIComponent(id)}`);
  }

  alerts(id) {
    return this.#get(`api/runs/${encodeURIComponent(id)}/alerts`);
  }

  series(id, { metrics, ...query }, signal) {
    const asked = new URLSearchParams({ history: "all" });
    for (const metric of metrics) asked.append("metrics", metric);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) asked.set(name, value);
    return this.#get(`api/runs/${encodeURIComponent(id)}/series?${asked}`, signal);
  }

  /** Listen to these runs from now on; the list of all runs comes in any case. */
  listen(runs) {
    if (this.runs && runs.join() === this.runs.join()) return;
    this.runs = runs;
    this.#connect();
  }

  /** Connect now rather than after the pause. */
  retry() {
    this.pause = FIRST_PAUSE;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.timer);
    this.#drop();
    // Without any name it would be the events of all runs.
    const asked = new URLSearchParams((this.runs.length ? this.runs : [""]).map((id) => ["run", id]));
    const address = new URL(`api/stream?${asked}`, document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.addEventListener("message", (message) => {
      if (socket === this.socket) this.#take(JSON.parse(message.data));
    });
    socket.addEventListener("close", () => {
      if (socket === this.socket) this.#lost();
    });
    this.#watch(10);
  }

  #take(frame) {
    if (frame.type === "hello") {
      this.heartbeat = frame.heartbeat;
      this.pause = FIRST_PAUSE;
      this.hear.connection("live");
    }
    this.#watch((this.heartbeat ?? 10) * PATIENCE);
    this.hear.frame(frame);
  }

  /** Take a connection on which nothing comes any more for a lost one. */
  #watch(seconds) {
    clearTimeout(this.silence);
    const socket = this.socket;
    this.silence = setTimeout(() => {
      if (socket === this.socket) this.#lost();
    }, seconds * 1000);
  }

  async #lost() {
    this.#drop();
    this.hear.connection("lost", { seconds: this.pause / 1000 });
    try {
      // A WebSocket that was refused does not say why.
      await this.list();
    } catch (error) {
      if (error instanceof Refused) {
        this.hear.connection("refused");
        return;
      }
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#connect(), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }

  #drop() {
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.silence);
    socket?.close();
  }

  async #get(path, signal) {
    let answer;
    try {
      answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Failed("the server does not answer");
    }
    if (answer.status === 401) throw new Refused("the server wants another token");
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Failed(found.error ?? `the server answered ${answer.status}`);
    return found;
  }
}
