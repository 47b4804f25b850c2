/**
 * Makes air of a background that is not the low end of a volume, where that is safe.
 *
 * It is `cyclegan_jax/data/background.py`, number by number.
 */

import { extremes, otherThan, percentile, percentiles } from "./intensity.js";
import { Refusal } from "./refusal.js";

const LEAST_PADDING = 0.005, FAR = 0.5, LEAST_SIDE = 5;
const COMMON_AT_BORDER = 0.15, COMMON = 0.05, MOST_COMMON = 0.99, AMID = 0.1;
const BUSY = 0.12, BRIGHT = 0.15, LEAST_VALID = 0.02;

/**
 * Returns a volume whose air is its lowest value, and notes that say what was changed.
 * @param {Float32Array} data `[X, Y, Z]`
 * @param {number[]} shape
 * @throws {Refusal} if the background cannot be made dark safely
 */
export function withDarkAir(data, shape) {
  const notes = [];
  const padding = extremes(data)[0], lowest = lowestReal(data, padding);
  if (lowest !== null) {
    data = data.map((v) => (v === padding || v < lowest ? lowest : v));
    notes.push(`the padding value ${padding}, which no tissue has, is read as air`);
  }
  const background = commonValue(data, shape);
  if (background !== null && sideOf(data, background) === "amid") {
    const tissue = percentile(otherThan(data, background), 0.1);
    data = data.map((v) => (v === background ? tissue : v));
    notes.push(`the background has the value ${background}, amid those of the tissue (a z-scored ` +
      "scan without skull?); it is read as air");
  }
  refuseBright(data, shape);
  return { data, notes };
}

function lowestReal(data, value) {
  const rest = otherThan(data, value), share = 1 - rest.length / data.length;
  if (value >= 0 || share < LEAST_PADDING || share === 1) return null;
  const lowest = extremes(rest)[0], [low, high] = percentiles(rest, [5, 99]);
  if (value > low - FAR * (high - low)) return null;
  return Math.fround(lowest - value > (low - value) / 2 ? lowest : low);
}

/** Returns the six outer planes of a volume with their shapes, or none of a small one. */
function facesOf(data, shape) {
  if (Math.min(...shape) < LEAST_SIDE) return [];
  const strides = [shape[1] * shape[2], shape[2], 1];
  return [0, 1, 2].flatMap((axis) => [0, shape[axis] - 1].map((index) => {
    const [a, b] = [0, 1, 2].filter((other) => other !== axis);
    const values = new Float32Array(shape[a] * shape[b]);
    for (let i = 0, at = 0; i < shape[a]; i++) {
      for (let j = 0; j < shape[b]; j++) {
        values[at++] = data[index * strides[axis] + i * strides[a] + j * strides[b]];
      }
    }
    return { values, rows: shape[a], columns: shape[b] };
  }));
}

/** Returns the constant that much of the border and of the volume has, or null. */
function commonValue(data, shape) {
  const lowest = extremes(data)[0], counts = new Map();
  let border = 0, value = 0, most = 0;
  for (const face of facesOf(data, shape)) {
    border += face.values.length;
    for (const v of face.values) if (v > lowest) counts.set(v, (counts.get(v) ?? 0) + 1);
  }
  for (const [v, n] of counts) if (n > most || (n === most && v < value)) [value, most] = [v, n];
  if (!most || most < COMMON_AT_BORDER * border) return null;
  const share = 1 - otherThan(data, value).length / data.length;
  return share >= COMMON && share <= MOST_COMMON ? value : null;
}

function sideOf(data, value) {
  const [low, high] = percentiles(otherThan(data, value), [5, 95]);
  if (value < low + AMID * (high - low)) return "below";
  return value < high ? "amid" : "above";
}

function refuseBright(data, shape) {
  const background = commonValue(data, shape);
  if (background !== null && sideOf(data, background) === "above") {
    throw new Refusal(`has the background ${background}, which is brighter than the head; invert ` +
      "the scan, or set the voxels outside the head to the lowest value");
  }
  const [low, high] = percentiles(everySecond(data, shape), [1, 99]);
  const faces = facesOf(data, shape), fill = extremes(data)[0];
  if (!faces.length || high <= low) return;
  const noisy = faces.filter((face) => isNoisy(face, fill, low, high)).length;
  if (noisy >= faces.length / 2) {
    throw new Refusal("has noise as bright as the head around it, as in an MP2RAGE UNI image; " +
      "give the denoised image, or set the voxels outside the head to the lowest value");
  }
}

function everySecond(data, [x, y, z]) {
  const half = (n) => Math.ceil(n / 2), out = new Float32Array(half(x) * half(y) * half(z));
  let at = 0;
  for (let i = 0; i < x; i += 2) {
    for (let j = 0; j < y; j += 2) {
      for (let k = 0; k < z; k += 2) out[at++] = data[(i * y + j) * z + k];
    }
  }
  return out;
}

function isNoisy({ values, rows, columns }, fill, low, high) {
  const valid = otherThan(values, fill);
  if (valid.length / values.length < LEAST_VALID) return false;
  const differences = [];
  const add = (a, b) => {
    if (a !== fill && b !== fill) differences.push(Math.abs(Math.fround(a - b)));
  };
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const own = values[i * columns + j];
      if (i + 1 < rows) add(values[(i + 1) * columns + j], own);
      if (j + 1 < columns) add(values[i * columns + j + 1], own);
    }
  }
  if (!differences.length) return false;
  const level = (percentile(valid, 50) - low) / (high - low);
  return percentile(Float32Array.from(differences), 50) / (high - low) > BUSY && level > BRIGHT;
}
