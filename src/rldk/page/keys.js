/** What keys do, and the page that says so. */

import { element } from "./dom.js";

/** Each with what it does, as the help shows it. */
export const KEYS = [
  ["/", "search metrics"],
  ["j k", "next and previous run"],
  ["x", "step or time"],
  ["l", "logarithmic scales"],
  ["s", "smoothing"],
  ["+ −", "zoom in and out"],
  ["← →", "move along, when zoomed; point by point, when a chart has the focus"],
  ["0", "show all"],
  ["Enter", "a larger chart, when it has the focus"],
  ["t", "theme"],
  ["?", "these keys"],
];

/** Call `does[key]` for keys that are not meant for something else. */
export function listenToKeys(does) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea, dialog")) return;
    const action = does[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

export function keysDialog() {
  const root = element(
    "dialog",
    { class: "keys", "aria-label": "Keys", onclick: (event) => event.target === root && root.close() },
    element("h2", {}, "Keys"),
    element("dl", {}, KEYS.map(([key, what]) => element("div", {}, element("dt", {}, key.split(" ").map((each) => element("kbd", {}, each))), element("dd", {}, what)))),
    element("p", { class: "quiet-note" }, "Drag over a chart to zoom, double-click to show all. Tab goes from chart to chart."),
    element("button", { class: "chip", type: "button", onclick: () => root.close() }, "close"),
  );
  return root;
}
