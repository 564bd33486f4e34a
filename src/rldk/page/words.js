/** Numbers and times as a person reads them. */

const WHOLE = new Intl.NumberFormat("en");
const BIG = 1e6;
const SMALL = 1e-3;
const DAY = 86400;

/** A number to four digits; whole ones in full. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return minus(WHOLE.format(value));
  if (size >= BIG || size < SMALL) return minus(value.toExponential(2).replace("e+", "e"));
  return minus(size >= 1e4 ? WHOLE.format(Math.round(value)) : String(Number(value.toPrecision(4))));
}

/** A number beside an axis: short, with as many digits as tell it from the next one, which is a `step` away. */
export function tick(value, step = Infinity) {
  const size = Math.abs(value);
  const digits = (least) => Math.min(15, Math.max(least, Math.ceil(Math.log10(size / step)) + 2));
  if (size >= 1e3 && size < 1e15) {
    const power = Math.min(Math.floor(Math.log10(size) / 3), 4);
    return minus(`${Number((value / 1000 ** power).toPrecision(digits(4)))}${["", "k", "M", "G", "T"][power]}`);
  }
  if (size !== 0 && (size < SMALL || size >= 1e15)) return minus(value.toExponential(digits(3) - 1).replace("e+", "e").replace(/\.?0*e/, "e"));
  return minus(String(Number(value.toPrecision(digits(6)))));
}

/** Seconds as a person says them: `3.2 s`, `4 min 05 s`, `7 h 12 min`. */
export function duration(seconds) {
  if (seconds < 59.95) return `${Number(seconds.toFixed(seconds < 10 ? 1 : 0))} s`;
  const whole = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  return hours ? `${hours} h ${pair(minutes)} min` : `${minutes} min ${pair(whole % 60)} s`;
}

/** Seconds beside an axis, as fine as the `step` to the next ones: `0.25s`, `1:30`, `2h15`, `2:15:30`, `3d`. */
export function clockTick(seconds, step) {
  if (step >= DAY) return `${Number((seconds / DAY).toFixed(1))}d`;
  const places = step < 1 ? Math.min(9, 1 + Math.ceil(-Math.log10(step))) : 0;
  const shown = Number(seconds.toFixed(places));
  if (Math.abs(shown) < 60) return `${shown}s`;
  const [hours, minutes] = [Math.floor(shown / 3600), Math.floor(shown / 60) % 60];
  const rest = Number((shown % 60).toFixed(places));
  const exact = rest < 10 ? `0${rest}` : `${rest}`;
  if (!hours) return rest ? `${minutes}:${exact}` : `${minutes}m`;
  if (step < 60) return `${hours}:${pair(minutes)}:${exact}`;
  return minutes ? `${hours}h${pair(minutes)}` : `${hours}h`;
}

/** How long ago a time was, in seconds since 1970. */
export function ago(time, now = Date.now() / 1000) {
  const seconds = Math.max(0, now - time);
  if (seconds < 5) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

/** So many of something: `1 event`, `2,000 events`. */
export function plural(count, noun) {
  return `${WHOLE.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** How many steps a second, or how long one takes. */
export function pace(perSecond) {
  return perSecond >= 1 ? `${number(Number(perSecond.toPrecision(3)))} steps/s` : `${duration(1 / perSecond)} per step`;
}

function pair(value) {
  return String(value).padStart(2, "0");
}

function minus(text) {
  return text.replace(/-/g, "−");
}
