/** Makes elements. What a log says becomes text and attributes, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes, listeners (`onclick`) and children; a child that is no node becomes text,
 * and null, undefined and false are left out.
 */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** A small picture, drawn as one line. */
export function icon(path) {
  const picture = filled(document.createElementNS(SVG, "svg"), { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, []);
  picture.append(filled(document.createElementNS(SVG, "path"), { d: path }, []));
  return picture;
}

/** Put children in the place of those that are there. */
export function refill(node, ...children) {
  node.replaceChildren(...nodes(children));
}

/** Put children in the place of those that are there, which have changed; what has the focus keeps it, by `data-focus`. */
export function redraw(node, ...children) {
  const focus = node.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  refill(node, ...children);
  if (focus) [...node.querySelectorAll("[data-focus]")].find((each) => each.dataset.focus === focus)?.focus({ preventScroll: true });
}

/**
 * A function that draws, made calm: not while something is pressed, which would be taken from under the finger, and
 * not when `of()` says the same as the last time.
 */
export function calm(draw, of) {
  let before;
  const now = () => {
    const text = JSON.stringify(of());
    if (text === before) return;
    before = text;
    draw();
  };
  return () => (isPressed ? waiting.add(now) : now());
}

let isPressed = false;
const waiting = new Set();

function release() {
  // The click comes behind this event.
  setTimeout(() => {
    isPressed = false;
    for (const draw of waiting) draw();
    waiting.clear();
  });
}

for (const name of ["pointerdown", "keydown"]) addEventListener(name, () => (isPressed = true), true);
for (const name of ["pointerup", "pointercancel", "dragend", "keyup", "blur"]) addEventListener(name, release, true);

/** Set the text of a node, if it is another one. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...nodes(children));
  return node;
}

function nodes(children) {
  return children.flat().filter((child) => child !== null && child !== undefined && child !== false);
}
