/**
 * Brings slices into the frame that the network takes, and back.
 *
 * It is `cyclegan_jax/translation/placement.py`, and `cyclegan_jax/data/framing.py` with Pillow's
 * bilinear scaling.
 */

import { AIR } from "./intensity.js";

const OFF_CENTRE = 1 / 32;

/**
 * Returns where the frame of training lies in the slices of a scan.
 * @param {Uint8Array} head `[N, H, W]`
 * @param {Float32Array} slices normalised, of the same shape
 * @param {number[]} shape
 * @param {number} imageSize height and width of the frame of training
 * @param {number} multiple of which height and width of a frame must be
 * @returns {{frame: number[], corner: number[]}}
 */
export function place(head, slices, shape, imageSize, multiple) {
  const frame = [], corner = [];
  for (const axis of [1, 2]) {
    const n = shape[axis];
    const headAt = placesAlong(shape, axis, (at) => head[at] === 1);
    let [first, end] = headAt ?? [0, n];
    let room = Math.max(imageSize, Math.min(n, end - first));
    room += (multiple - (room % multiple)) % multiple;
    let own = recorded(slices, shape, axis);
    if (n <= room || !(own[0] < first && first < end && end < own[1])) own = [0, n];
    const middle = (part) => -Math.floor((room - (part[0] + part[1])) / 2);
    const centred = middle(own), byHead = middle([first, end]);
    const fits = centred <= first && end <= centred + room;
    const near = Math.abs(centred - byHead) <= OFF_CENTRE * room;
    frame.push(room);
    corner.push(n <= room || (fits && near) ? centred : byHead);
  }
  return { frame, corner };
}

/** Copies what a frame shows of a slice into `framed`, or with `back` the other way. */
export function copyFramed(slice, framed, size, { frame, corner }, back = false) {
  const [top, left] = corner;
  const first = Math.max(left, 0), last = Math.min(left + frame[1], size[1]);
  for (let row = Math.max(top, 0); row < Math.min(top + frame[0], size[0]); row++) {
    const at = row * size[1], inFrame = (row - top) * frame[1] - left;
    if (back) slice.set(framed.subarray(inFrame + first, inFrame + last), at + first);
    else framed.set(slice.subarray(at + first, at + last), inFrame + first);
  }
}

/** Returns height and width of an image of `size` after it is scaled to just fit `frame`. */
export function fittedSize(size, frame) {
  const scale = Math.min(frame[0] / size[0], frame[1] / size[1]);
  return size.map((n) => Math.max(1, roundHalfEven(n * scale)));
}

/** Scales a slice into `framed`, which is air around it. */
export function fit(slice, framed, size, frame) {
  const inner = fittedSize(size, frame);
  const scaled = resize(slice, size, inner);
  framed.fill(AIR);
  copyFramed(scaled, framed, inner, { frame, corner: centre(inner, frame) });
}

/** Undoes `fit`: returns the slice of `size` that a frame shows. */
export function unfit(framed, size, frame) {
  const inner = fittedSize(size, frame);
  const image = new Float32Array(inner[0] * inner[1]).fill(AIR);
  copyFramed(image, framed, inner, { frame, corner: centre(inner, frame) }, true);
  return resize(image, inner, size);
}

export function roundHalfEven(x) {
  const below = Math.floor(x), rest = x - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

function centre(size, frame) {
  return [0, 1].map((axis) => -Math.floor((frame[axis] - size[axis]) / 2));
}

function recorded(slices, [n, h, w], axis) {
  const lows = new Float32Array(axis === 1 ? h : w).fill(Infinity);
  const highs = new Float32Array(lows.length).fill(-Infinity);
  for (let at = 0; at < n * h * w; at++) {
    const place = axis === 1 ? Math.floor(at / w) % h : at % w;
    if (slices[at] < lows[place]) lows[place] = slices[at];
    if (slices[at] > highs[place]) highs[place] = slices[at];
  }
  const varied = [...lows.keys()].filter((i) => lows[i] !== highs[i]);
  return varied.length ? [varied[0], varied.at(-1) + 1] : [0, lows.length];
}

function placesAlong([n, h, w], axis, holds) {
  let first = Infinity, last = -1;
  for (let at = 0; at < n * h * w; at++) {
    if (!holds(at)) continue;
    const place = axis === 1 ? Math.floor(at / w) % h : at % w;
    if (place < first) first = place;
    if (place > last) last = place;
  }
  return last < 0 ? null : [first, last + 1];
}

/** Scales `[H, W]` as Pillow does: bilinear, with a wider triangle where it gets smaller. */
function resize(image, [h, w], [height, width]) {
  let now = image;
  if (width !== w) now = scaleRows(now, h, w, width);
  if (height !== h) now = transposed(scaleRows(transposed(now, h, width), width, h, height), width, height);
  return now;
}

function scaleRows(image, rows, from, to) {
  const scale = from / to, wide = Math.max(scale, 1);
  const out = new Float32Array(rows * to);
  for (let i = 0; i < to; i++) {
    const middle = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(middle - wide + 0.5), 0);
    const end = Math.min(Math.trunc(middle + wide + 0.5), from);
    const weights = [];
    for (let k = first; k < end; k++) {
      weights.push(Math.max(0, 1 - Math.abs((k - middle + 0.5) / wide)));
    }
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      weights.forEach((weight, k) => (sum += image[row * from + first + k] * (weight / total)));
      out[row * to + i] = sum;
    }
  }
  return out;
}

function transposed(image, rows, columns) {
  const out = new Float32Array(image.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = image[i * columns + j];
  }
  return out;
}
