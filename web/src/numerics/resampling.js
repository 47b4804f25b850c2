/**
 * Resamples volumes to a wanted voxel size: `cyclegan_jax/data/formats/resampling.py`.
 *
 * SimpleITK does it there: a discrete Gaussian (Lindeberg's, by Bessel functions) where an axis
 * becomes coarser, then cubic B-splines with mirrored edges. Both are done axis by axis.
 */

import { roundHalfEven } from "./framing.js";
import { extremes } from "./intensity.js";

const VARIANCE_OF_FWHM = 1 / (8 * Math.LN2), MOST_ERROR = 0.01, WIDEST = 32;
const POLE = Math.sqrt(3) - 2, TOLERANCE = 1e-10;

/** Returns the shape that `resample` gives to a volume. */
export function resampledShape(shape, spacing, wanted) {
  return shape.map((n, i) => Math.max(1, roundHalfEven((n * spacing[i]) / wanted[i])));
}

/**
 * Resamples a volume about its centre, which stays where it is.
 * @param {Float32Array} data `[X, Y, Z]`
 * @param {number[]} shape
 * @param {number[]} spacing voxel size in mm
 * @param {number[]} wanted voxel size of the result
 * @param {number[]} wantedShape of the result
 * @param {boolean} extend whether voxels beyond the old extent get its nearest values
 * @returns {Float32Array}
 */
export function resample(data, shape, spacing, wanted, wantedShape, extend = false) {
  const [low, high] = extremes(data);
  let now = data, size = [...shape];
  for (const axis of [2, 1, 0]) {
    const variance = Math.max(wanted[axis] ** 2 - spacing[axis] ** 2, 0) * VARIANCE_OF_FWHM;
    if (variance > 0) now = smoothed(now, size, axis, variance / spacing[axis] ** 2);
  }
  const smooth = now;
  const places = [0, 1, 2].map((axis) => {
    const begin = ((shape[axis] - 1) * spacing[axis] - (wantedShape[axis] - 1) * wanted[axis]) / 2;
    return Float64Array.from({ length: wantedShape[axis] }, (_, i) =>
      (begin + i * wanted[axis]) / spacing[axis]);
  });
  for (const axis of [0, 1, 2]) {
    now = alongAxis(now, size, axis, wantedShape[axis], splineAt(places[axis], size[axis]));
    size[axis] = wantedShape[axis];
  }
  if (extend) extendNearest(now, size, smooth, shape, places);
  for (let i = 0; i < now.length; i++) now[i] = Math.min(Math.max(now[i], low), high);
  return now;
}

/** Applies a function of lines along an axis; the result has `length` values along it. */
function alongAxis(data, shape, axis, length, act) {
  const inner = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const outer = shape.slice(0, axis).reduce((product, n) => product * n, 1);
  const n = shape[axis], line = new Float64Array(n), made = new Float64Array(length);
  const out = new Float32Array(outer * length * inner);
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < inner; j++) {
      for (let k = 0, at = i * n * inner + j; k < n; k++, at += inner) line[k] = data[at];
      act(line, made);
      for (let k = 0, at = i * length * inner + j; k < length; k++, at += inner) out[at] = made[k];
    }
  }
  return out;
}

function smoothed(data, shape, axis, variance) {
  const kernel = gaussian(variance), last = shape[axis] - 1;
  return alongAxis(data, shape, axis, shape[axis], (line, made) => {
    for (let i = 0; i <= last; i++) {
      let sum = kernel[0] * line[i];
      for (let k = 1; k < kernel.length; k++) {
        sum += kernel[k] * (line[Math.max(i - k, 0)] + line[Math.min(i + k, last)]);
      }
      made[i] = sum;
    }
  });
}

/** Returns one half of the discrete Gaussian of a variance in pixels, its middle first. */
function gaussian(variance) {
  const kernel = [];
  let sum = 0;
  for (let n = 0; n < 2 || (sum < 1 - MOST_ERROR && kernel.length <= WIDEST); n++) {
    kernel.push(Math.exp(-variance) * bessel(n, variance));
    sum += kernel[n] * (n ? 2 : 1);
  }
  return kernel.map((weight) => weight / sum);
}

/** Returns the modified Bessel function of the first kind. */
function bessel(n, x) {
  let term = 1;
  for (let k = 1; k <= n; k++) term *= x / 2 / k;
  let sum = term;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / 2) ** 2 / (k * (k + n));
    sum += term;
  }
  return sum;
}

/** Returns a function that evaluates the cubic spline of a line of `n` values at places. */
function splineAt(places, n) {
  const period = Math.max(2 * n - 2, 1);
  const mirrored = (i) => {
    const k = ((i % period) + period) % period;
    return n === 1 ? 0 : Math.min(k, period - k);
  };
  const taps = Array.from(places, (x) => {
    const first = Math.floor(x), w = x - first;
    const w3 = w ** 3 / 6, w0 = 1 / 6 + (w * (w - 1)) / 2 - w3, w2 = w + w0 - 2 * w3;
    return { at: [-1, 0, 1, 2].map((k) => mirrored(first + k)), weights: [w0, 1 - w0 - w2 - w3, w2, w3] };
  });
  return (line, made) => {
    coefficients(line);
    taps.forEach(({ at, weights }, i) => {
      made[i] = weights[0] * line[at[0]] + weights[1] * line[at[1]] +
        weights[2] * line[at[2]] + weights[3] * line[at[3]];
    });
  };
}

/** Replaces values by the coefficients of their cubic B-spline (Unser, 1999). */
function coefficients(line) {
  const n = line.length;
  if (n === 1) return;
  const gain = (1 - POLE) * (1 - 1 / POLE);
  for (let i = 0; i < n; i++) line[i] *= gain;
  const horizon = Math.ceil(Math.log(TOLERANCE) / Math.log(Math.abs(POLE)));
  let sum = line[0];
  if (horizon < n) {
    for (let i = 1, power = POLE; i < horizon; i++, power *= POLE) sum += power * line[i];
  } else {
    const end = POLE ** (n - 1);
    sum += end * line[n - 1];
    for (let i = 1; i < n - 1; i++) sum += (POLE ** i + end * end * POLE ** -i) * line[i];
    sum /= 1 - end * end;
  }
  line[0] = sum;
  for (let i = 1; i < n; i++) line[i] += POLE * line[i - 1];
  line[n - 1] = (POLE / (POLE * POLE - 1)) * (POLE * line[n - 2] + line[n - 1]);
  for (let i = n - 2; i >= 0; i--) line[i] = POLE * (line[i + 1] - line[i]);
}

/** Gives voxels beyond the old extent the value of the old voxel nearest to them. */
function extendNearest(data, size, old, shape, places) {
  const outside = places.map((line, axis) =>
    Array.from(line, (x) => x < -0.5 || x >= shape[axis] - 0.5));
  if (!outside.flat().includes(true)) return;
  const nearest = places.map((line, axis) =>
    Array.from(line, (x) => Math.min(Math.max(Math.floor(x + 0.5), 0), shape[axis] - 1)));
  for (let i = 0, at = 0; i < size[0]; i++) {
    for (let j = 0; j < size[1]; j++) {
      for (let k = 0; k < size[2]; k++, at++) {
        if (!outside[0][i] && !outside[1][j] && !outside[2][k]) continue;
        data[at] = old[(nearest[0][i] * shape[1] + nearest[1][j]) * shape[2] + nearest[2][k]];
      }
    }
  }
}
