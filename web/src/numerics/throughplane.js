/** Smooths translations across slices: `cyclegan_jax/data/through_plane.py`. */

import { HEAD } from "./intensity.js";

const MOST_WEIGHT = 1 / 3, HALVINGS = 12;

/**
 * Averages slices with their neighbours until they change as much as in real scans.
 * @param {Float32Array} images `[N, H, W]` in [-1, 1], changed in place
 * @param {number[]} shape
 * @param {boolean[]} chosen the slices that were translated
 * @param {number} wanted how much real scans change
 */
export function smooth(images, [n, h, w], chosen, wanted) {
  const area = h * w, inside = images.map((value) => value > HEAD);
  const below = [...Array(Math.max(n - 1, 0)).keys()].filter((i) => chosen[i] && chosen[i + 1]);
  const jumpOf = (values) => jump(values, inside, below, h, w);
  if (!(jumpOf(images) > wanted)) return;
  const towards = new Float32Array(images.length);
  for (const i of below) {
    for (let p = i * area; p < (i + 1) * area; p++) {
      const step = Math.fround(images[p + area] - images[p]);
      towards[p] += step;
      towards[p + area] -= step;
    }
  }
  const at = (weight) => images.map((value, p) => value + Math.fround(weight) * towards[p]);
  let low = 0, high = MOST_WEIGHT;
  for (let i = 0; i < HALVINGS; i++) {
    const weight = (low + high) / 2;
    if (jumpOf(at(weight)) > wanted) low = weight;
    else high = weight;
  }
  images.set(at(high));
}

/** Returns the mean square change from slice to slice over that from pixel to pixel. */
function jump(images, inside, below, h, w) {
  const area = h * w, sums = [0, 0, 0], counts = [0, 0, 0];
  const add = (which, p, q) => {
    if (!inside[p] || !inside[q]) return;
    const change = Math.fround(images[q] - images[p]);
    sums[which] += change * change;
    counts[which] += 1;
  };
  for (const i of below) {
    for (let row = 0; row < h; row++) {
      for (let column = 0; column < w; column++) {
        const p = i * area + row * w + column;
        add(0, p, p + area);
        if (row + 1 < h) add(1, p, p + w);
        if (column + 1 < w) add(2, p, p + 1);
      }
    }
  }
  const [across, down, right] = sums.map((sum, which) => sum / counts[which]);
  const within = (down + right) / 2;
  return within ? across / within : NaN;
}
