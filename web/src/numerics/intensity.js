/**
 * Intensities of volumes: percentiles, the range of a head, and [-1, 1] and back.
 *
 * It is `cyclegan_jax/data/intensity.py` for volumes that are translated, number by number.
 */

import { Refusal } from "./refusal.js";

export const AIR = -1, HEAD = Math.fround(-0.8);
const LEAST_HEAD = 5e-4, LOW_IN_AIR = 1.67, BRIGHT_IN_BOX = 98.5, LEAST_AIR = 0.1;
const MOST_REPETITIONS = 8;
export const MIN_HEAD = 0.15; // of a slice
const f32 = Math.fround;

/** Returns percentiles of numbers, as NumPy does of float32 and a list of percentiles. */
export function percentiles(values, wanted) {
  const sorted = values.slice().sort();
  return wanted.map((q) => {
    const place = (sorted.length - 1) * (q / 100), before = Math.floor(place);
    const a = sorted[before], b = sorted[Math.min(before + 1, sorted.length - 1)];
    const t = place - before;
    return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;
  });
}

/** Returns one percentile, as NumPy does of float32: it counts in float32 then. */
export function percentile(values, q) {
  const sorted = values.slice().sort();
  const place = f32((sorted.length - 1) * f32(f32(q) / 100));
  const before = Math.floor(place);
  if (before >= sorted.length - 1) return sorted[sorted.length - 1];
  const a = sorted[before], b = sorted[before + 1], t = f32(place - before), step = f32(b - a);
  return t >= 0.5 ? f32(b - f32(step * f32(1 - t))) : f32(a + f32(step * t));
}

/** Returns the lowest and the highest value. */
export function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (let i = 0; i < values.length; i++) { // for-of takes ten times as long
    const v = values[i];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return [low, high];
}

/** Returns the values other than one. */
export function otherThan(values, value) {
  const chosen = new Float32Array(values.length);
  let at = 0;
  for (let i = 0; i < values.length; i++) if (values[i] !== value) chosen[at++] = values[i];
  return chosen.subarray(0, at);
}

/** Returns the values where a mask is 1 (or 0). */
export function where(values, mask, is = 1) {
  let count = 0;
  for (let i = 0; i < mask.length; i++) if (mask[i] === is) count++;
  const chosen = new Float32Array(count);
  for (let i = 0, at = 0; i < values.length; i++) if (mask[i] === is) chosen[at++] = values[i];
  return chosen;
}

/** Returns a mask of the voxels more than a tenth of the way from air to bright. */
export function foreground(data) {
  return above(data, threshold(percentiles(data, [1, 99])));
}

/** Returns the volume in ml of the foreground. */
export function headMl(data, spacing) {
  return (count(foreground(data)) * spacing[0] * spacing[1] * spacing[2]) / 1000;
}

/** Returns the index of the last slice that has `MIN_HEAD` of head, or -1. */
export function highestSlice(slices, [n, h, w]) {
  const mask = foreground(slices);
  for (let i = n - 1; i >= 0; i--) {
    if (count(mask.subarray(i * h * w, (i + 1) * h * w)) / (h * w) >= MIN_HEAD) return i;
  }
  return -1;
}

/**
 * Returns the range `[low, high]` of a volume, however much air surrounds its head.
 * @param {Float32Array} slices `[N, H, W]`
 * @param {number[]} shape
 * @param {number} least how many pixels a connected part of head has in a slice
 */
export function headRange(slices, shape, least) {
  let mask = foreground(slices);
  if (count(mask) / mask.length < LEAST_HEAD) {
    throw new Refusal("has no contrast; give a head on dark air");
  }
  const whole = () => [percentile(slices, 1), percentile(where(slices, foreground(slices)), 99.5)];
  let box = null;
  for (let round = 0; round < MOST_REPETITIONS; round++) {
    const found = boxOf(atLeast(partSizes(mask, shape), least), shape);
    if (box && found.every((side, i) => side[0] === box[i][0] && side[1] === box[i][1])) break;
    box = found;
    const inBox = cut(mask, shape, box), heads = count(inBox);
    if (heads === 0 || heads / inBox.length > 1 - LEAST_AIR) return whole();
    mask = above(slices, threshold(percentiles(cut(slices, shape, box), [1, BRIGHT_IN_BOX])));
  }
  const inside = cut(slices, shape, box), head = cut(mask, shape, box);
  return [percentile(where(inside, head, 0), LOW_IN_AIR), percentile(where(inside, head), 99.5)];
}

/** Returns intensities in [-1, 1]; what lies outside of the range is clipped. */
export function normalise(values, [low, high]) {
  const from = f32(low), scale = f32(2 / (high - low));
  return values.map((v) => Math.min(Math.max(f32(f32(f32(v - from) * scale) - 1), -1), 1));
}

/** Returns the intensities that normalised values stand for. */
export function denormalise(values, [low, high]) {
  const scale = f32((high - low) / 2), from = f32(low);
  return values.map((v) => f32(f32(f32(v + 1) * scale) + from));
}

/** Returns for each pixel of a head mask `[N, H, W]` the size of the part that it is in. */
export function partSizes(mask, [n, h, w]) {
  const sizes = new Int32Array(mask.length), part = new Int32Array(h * w);
  for (let slice = 0; slice < n; slice++) {
    const begin = slice * h * w, end = begin + h * w;
    for (let seed = begin; seed < end; seed++) {
      if (!mask[seed] || sizes[seed]) continue;
      let length = 0, done = 0;
      const add = (at) => {
        if (mask[at] && !sizes[at]) (sizes[at] = -1), (part[length++] = at);
      };
      add(seed);
      while (done < length) {
        const at = part[done++], column = (at - begin) % w;
        if (column > 0) add(at - 1);
        if (column < w - 1) add(at + 1);
        if (at - w >= begin) add(at - w);
        if (at + w < end) add(at + w);
      }
      for (let i = 0; i < length; i++) sizes[part[i]] = length;
    }
  }
  return sizes;
}

export function above(values, limit) {
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) mask[i] = values[i] > limit ? 1 : 0;
  return mask;
}

export function atLeast(values, limit) {
  const mask = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i++) mask[i] = values[i] >= limit ? 1 : 0;
  return mask;
}

export function count(mask) {
  let sum = 0;
  for (let i = 0; i < mask.length; i++) sum += mask[i];
  return sum;
}

/** Returns `[first, end]` of a mask along each axis; `[0, 0]` if it is empty. */
export function boxOf(mask, [n, h, w]) {
  const box = [[n, 0], [h, 0], [w, 0]];
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = 0; j < h; j++) {
      for (let k = 0; k < w; k++, at++) {
        if (!mask[at]) continue;
        [i, j, k].forEach((place, axis) => {
          const side = box[axis];
          if (place < side[0]) side[0] = place;
          if (place >= side[1]) side[1] = place + 1;
        });
      }
    }
  }
  return box.map(([first, end]) => (end ? [first, end] : [0, 0]));
}

function threshold([air, bright]) {
  return air + 0.1 * (bright - air);
}

function cut(array, [, h, w], [[i0, i1], [j0, j1], [k0, k1]]) {
  const out = new array.constructor((i1 - i0) * (j1 - j0) * (k1 - k0));
  let at = 0;
  for (let i = i0; i < i1; i++) {
    for (let j = j0; j < j1; j++) {
      const row = (i * h + j) * w;
      out.set(array.subarray(row + k0, row + k1), at);
      at += k1 - k0;
    }
  }
  return out;
}
