/** What can be done with curves, without drawing them. A curve has `x` and `y`, and `nonfinite` beside them. */

const LEAST = 1e-9;
const LOST = 1e-3;

/** Which curve of a metric it is: runs may have several, of training, of evaluations, and replaced ones. */
export function curveKey(curve) {
  return JSON.stringify([curve.phase, curve.eval_set, curve.attempt]);
}

/** A new curve without points. */
export function empty(metric, phase, evalSet) {
  return { metric, phase, eval_set: evalSet, attempt: null, rewound: false, points: 0, thinned: false, x: [], y: [], nonfinite: [] };
}

/**
 * Make the x of a curve that came from the server ascend, so that all curves of a chart can be put on one axis: a gap
 * in what was read has no x, and two events may have the same time.
 */
export function ascending(curve) {
  const xs = curve.x;
  for (let at = 0; at < xs.length; at += 1) {
    const before = at ? xs[at - 1] : -Infinity;
    if (xs[at] === null) xs[at] = at + 1 < xs.length ? (before + xs[at + 1]) / 2 : before + LEAST;
    else if (xs[at] <= before) xs[at] = before + LEAST * Math.max(1, Math.abs(before));
  }
  return curve;
}

/**
 * Add what an event says; whether anything has changed.
 *
 * A point that the curve already has is not added again, so a curve may be asked for while events come in.
 */
export function append(curve, x, step, value, kind) {
  const before = Math.max(curve.x.at(-1) ?? -Infinity, curve.nonfinite.at(-1)?.[0] ?? -Infinity);
  if (x < before || (x === before && curve.step !== undefined && step < curve.step)) return false;
  const again = x === before && (curve.step === undefined || step === curve.step);
  curve.step = step;
  if (kind) {
    if (again && curve.nonfinite.at(-1)?.[0] === x) return false;
    curve.nonfinite.push([x, kind, 1]);
    return true;
  }
  if (again && curve.x.at(-1) === x) {
    const changed = curve.y[curve.y.length - 1] !== value;
    curve.y[curve.y.length - 1] = value;
    return changed;
  }
  curve.x.push(x);
  curve.y.push(value);
  curve.points += 1;
  return true;
}

/** The place of the point nearest to x, -1 when there is none; places without a value are passed over. */
export function nearest(xs, ys, x) {
  const after = bisect(xs, x);
  let left = after - 1;
  let right = after;
  while (left >= 0 && !Number.isFinite(ys[left])) left -= 1;
  while (right < xs.length && !Number.isFinite(ys[right])) right += 1;
  if (left < 0) return right < xs.length ? right : -1;
  if (right >= xs.length) return left;
  return x - xs[left] <= xs[right] - x ? left : right;
}

/** The running mean over a width of x, for each point; a gap stays one. */
export function smoothed(xs, ys, width) {
  const found = new Array(ys.length).fill(null);
  let [begin, end, sum, count] = [0, 0, 0, 0];
  const has = (at) => Number.isFinite(ys[at]);
  for (let at = 0; at < xs.length; at += 1) {
    if (!has(at)) continue;
    while (end < xs.length && xs[end] <= xs[at] + width / 2) {
      if (has(end)) [sum, count] = [sum + ys[end], count + 1];
      end += 1;
    }
    let gone = 0;
    while (xs[begin] < xs[at] - width / 2) {
      if (has(begin)) [sum, count, gone] = [sum - ys[begin], count - 1, Math.max(gone, Math.abs(ys[begin]))];
      begin += 1;
    }
    // What is left when a spike is taken away again has lost its digits in it.
    if (gone && !(Math.abs(sum) > gone * LOST)) sum = ys.slice(begin, end).reduce((all, y, place) => (has(begin + place) ? all + y : all), 0);
    found[at] = sum / count;
  }
  return found;
}

/** The least and the greatest x of curves, points that are not finite included; null when there is none. */
export function extent(curves) {
  let [low, high] = [Infinity, -Infinity];
  for (const curve of curves) {
    const marks = curve.nonfinite;
    for (const x of [curve.x[0], curve.x.at(-1), marks[0]?.[0], marks.at(-1)?.[0]]) {
      if (x === undefined) continue;
      low = Math.min(low, x);
      high = Math.max(high, x);
    }
  }
  return low <= high ? [low, high] : null;
}

/** The wall time at a step, or the step at a wall time (`from` 1, `to` 0), by pairs of both; null when not known. */
export function translated(clock, value, from = 0, to = 1) {
  if (!clock?.length || value === null) return null;
  let low = 0;
  let high = clock.length - 1;
  if (value <= clock[low][from]) return clock[low][to];
  if (value >= clock[high][from]) return clock[high][to];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (clock[middle][from] <= value) low = middle;
    else high = middle;
  }
  const [one, other] = [clock[low], clock[high]];
  const share = (value - one[from]) / (other[from] - one[from] || 1);
  return one[to] + share * (other[to] - one[to]);
}

function bisect(xs, x) {
  let [low, high] = [0, xs.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}
