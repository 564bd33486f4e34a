/** What the reader has chosen: in the address, so that it can be sent on, and the theme in the browser. */

const THEMES = ["auto", "light", "dark"];
export const SMOOTHINGS = [0, 1, 3, 10];

export class Settings {
  constructor() {
    const asked = new URLSearchParams(location.hash.slice(1));
    this.runs = asked.get("run")?.split(",").filter(Boolean) ?? [];
    this.axis = asked.get("x") === "wall_time" ? "wall_time" : "step";
    this.log = asked.get("log") === "1";
    this.smoothing = SMOOTHINGS.includes(Number(asked.get("smooth"))) ? Number(asked.get("smooth")) : 0;
    this.search = asked.get("q") ?? "";
    this.theme = remembered() ?? "auto";
    this.#show();
  }

  /** Put what was chosen into the address. */
  save() {
    const asked = new URLSearchParams();
    if (this.runs.length) asked.set("run", this.runs.join(","));
    if (this.axis !== "step") asked.set("x", this.axis);
    if (this.log) asked.set("log", "1");
    if (this.smoothing) asked.set("smooth", this.smoothing);
    if (this.search) asked.set("q", this.search);
    const text = String(asked);
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // A page from a file may not change its address in every browser.
    }
  }

  nextTheme() {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("rldk-theme", this.theme);
    } catch {
      // Without storage it holds until the page is left.
    }
    this.#show();
  }

  #show() {
    if (this.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }
}

function remembered() {
  try {
    const found = localStorage.getItem("rldk-theme");
    return THEMES.includes(found) ? found : null;
  } catch {
    return null;
  }
}
