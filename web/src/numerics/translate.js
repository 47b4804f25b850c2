/**
 * Translates one volume slice by slice: what `cyclegan_jax/translation/` does with a volume.
 *
 * The network itself is a function that is given, so this needs no browser.
 */

import { withDarkAir } from "./background.js";
import { copyFramed, fit, fittedSize, place, unfit } from "./framing.js";
import {
  AIR, HEAD, above, atLeast, boxOf, count, denormalise, foreground, headMl, headRange, highestSlice,
  normalise, partSizes,
} from "./intensity.js";
import { Refusal } from "./refusal.js";
import { resample, resampledShape } from "./resampling.js";
import { across, fromSlices, inPlane, sliceShape, toSlices, voxel } from "./slicing.js";
import { MOST_VOXELS } from "./nifti.js";
import { smooth } from "./throughplane.js";

const CUT = 0.4, LARGER = 1.3, SHARE_OF_FRAME = 0.005, SAME_SIZE = 1.05;

/**
 * Translates a volume.
 * @param {import("./nifti.js").Volume} volume
 * @param {object} facts of the model and direction, as `cyclegan-jax export` writes them
 * @param {(framed: Float32Array, count: number, frame: number[]) => Promise<Float32Array>} generate
 *   translates `[count, height, width]` in [-1, 1]; it is called with slice after slice
 * @returns {Promise<{data: Float32Array, source: Float32Array, range: number[],
 *   difference: Float32Array, notes: string[]}>}
 *   `[X, Y, Z]`: the translation, the source with dark air, its range that became -1 and 1, and how
 *   much both differ once each is in [-1, 1]
 * @throws {Refusal}
 */
export async function translateVolume(volume, facts, generate) {
  const dark = withDarkAir(volume.data, volume.shape);
  const seen = { ...volume, data: dark.data };
  const notes = [...volume.notes, ...dark.notes, headNote(seen, facts), belowNote(seen, facts)];
  const wanted = spacingWanted(volume, facts);
  const trained = facts.source.slice_mm;
  const between = across(wanted ?? volume.spacing, facts.axis);
  // as real scans were measured
  if (!trained || !alike(between / trained)) facts = { ...facts, slice_jump: null };
  let made;
  if (wanted === null) {
    made = await translateAt(seen.data, seen.shape, facts, generate);
    notes.push(...made.notes);
  } else {
    const shape = resampledShape(volume.shape, volume.spacing, wanted);
    const sizes = [mm(volume.spacing), mm(wanted)];
    if (shape[0] * shape[1] * shape[2] > MOST_VOXELS) {
      throw new Refusal(`has too many voxels if ${sizes[0]} become ${sizes[1]}; crop it`);
    }
    const data = resample(seen.data, seen.shape, seen.spacing, wanted, shape);
    made = await translateAt(data, shape, { ...facts, fit: "pad" }, generate);
    made.data = resample(made.data, shape, wanted, seen.spacing, seen.shape, true);
    notes.push(...made.notes, `the scan was resampled from ${sizes[0]} to ${sizes[1]}, as in ` +
      "training, and the result back");
  }
  const target = normalise(made.data, facts.target.range);
  const difference = normalise(seen.data, made.range).map((v, i) => Math.abs(target[i] - v));
  return {
    data: made.data, source: seen.data, range: made.range, difference,
    notes: notes.filter((note) => note),
  };
}

/** Returns how the network sees a volume: its range, the frame, and which slices it translates. */
export function viewOf(slices, shape, facts) {
  const area = facts.fit === "resize" ? shape[1] * shape[2] : facts.image_size ** 2;
  const leastPart = Math.max(1, SHARE_OF_FRAME * area);
  const range = headRange(slices, shape, leastPart);
  const stack = normalise(slices, range);
  const sizes = partSizes(above(stack, HEAD), shape);
  const head = atLeast(sizes, leastPart);
  const multiple = facts.image_size_multiple;
  const placement = facts.fit === "resize"
    ? { frame: [facts.image_size, facts.image_size], corner: [0, 0] }
    : place(head, stack, shape, facts.image_size, multiple);
  if (placement.frame.some((n) => n !== facts.image_size)) {
    const box = boxOf(head, shape).slice(1).map(([first, end]) => end - first);
    throw new Refusal(`shows a head of ${by(box)} pixels, more than the ` +
      `${by([facts.image_size, facts.image_size])} of this page; use cyclegan-jax translate`);
  }
  return { range, stack, placement, ...chosenSlices(sizes, shape, area, facts) };
}

/** Returns which slices have enough head to be translated, and notes on them. */
function chosenSlices(sizes, [n, h, w], area, facts) {
  const largest = Array.from({ length: n }, (_, i) =>
    sizes.subarray(i * h * w, (i + 1) * h * w).reduce((most, size) => Math.max(most, size), 0));
  const least = facts.source.least_head;
  let trained = 0, enough = SHARE_OF_FRAME * area;
  if (least) {
    trained = facts.fit === "resize" ? least.share * area : least.pixels;
    enough = Math.min(enough, trained);
  }
  const chosen = largest.map((size) => size >= enough);
  const few = [...chosen.keys()].filter((i) => chosen[i] && largest[i] < trained);
  const notes = [];
  const seen = fittedSize([h, w], [facts.image_size, facts.image_size]);
  if (facts.fit === "resize" && seen[0] < h) {
    notes.push(`slices of ${by([h, w])} pixels are scaled to ${by(seen)} for the network and ` +
      "back, so translations have no finer detail than that");
  }
  if (few.length) {
    notes.push(`${few.length} of ${n} ${facts.axis} slices have less head than any slice of ` +
      `training and may be wrong: ${ranges(few)}, counted from 0`);
  }
  if (!chosen.includes(true)) {
    notes.push("no head was found, so nothing is translated; the result is air");
  }
  return { chosen, notes };
}

async function translateAt(data, shape, facts, generate) {
  const slices = toSlices(data, shape, facts.axis), size = sliceShape(shape, facts.axis);
  const { range, stack, placement, chosen, notes } = viewOf(slices, size, facts);
  const [, h, w] = size, frame = placement.frame, pixels = frame[0] * frame[1];
  const places = [...chosen.keys()].filter((i) => chosen[i]);
  const framed = new Float32Array(places.length * pixels).fill(AIR);
  places.forEach((place_, i) => {
    const slice = stack.subarray(place_ * h * w, (place_ + 1) * h * w);
    const into = framed.subarray(i * pixels, (i + 1) * pixels);
    if (facts.fit === "resize") fit(slice, into, [h, w], frame);
    else copyFramed(slice, into, [h, w], placement);
  });
  const generated = places.length ? await generate(framed, places.length, frame) : framed;
  if (!generated.every(Number.isFinite)) {
    throw new Refusal("is translated to values that are not finite; choose another model");
  }
  const translated = new Float32Array(stack.length).fill(AIR);
  places.forEach((place_, i) => {
    const into = translated.subarray(place_ * h * w, (place_ + 1) * h * w);
    const from = generated.subarray(i * pixels, (i + 1) * pixels);
    if (facts.fit === "resize") into.set(unfit(from, [h, w], frame));
    else copyFramed(into, from, [h, w], placement, true);
  });
  if (facts.slice_jump) smooth(translated, size, chosen, facts.slice_jump);
  const made = denormalise(fromSlices(translated, shape, facts.axis), facts.target.range);
  return { data: made, range, notes };
}

/** Returns the voxel size at which the volume is translated, or null if that is its own. */
function spacingWanted({ shape, spacing }, facts) {
  const trained = facts.source.pixel_mm;
  if (!trained) return null;
  const own = inPlane(spacing, facts.axis), size = sliceShape(shape, facts.axis).slice(1);
  const frame = [facts.image_size, facts.image_size];
  const seen = facts.fit === "resize" ? fittedSize(size, frame) : size;
  if (own.every((mm_, i) => alike((mm_ * size[i]) / seen[i] / trained[i]))) return null;
  return voxel(trained, facts.source.slice_mm ?? across(spacing, facts.axis), facts.axis);
}

function headNote({ data, spacing }, facts) {
  const most = facts.source.most_head_ml;
  if (!most) return "";
  const found = headMl(data, spacing);
  if (found <= LARGER * most) return "";
  return `the head has ${found.toFixed(0)} ml, but this model was trained on brains that were cut ` +
    `out, of at most ${most.toFixed(0)} ml; cut the brain out of the scan, or the result is wrong`;
}

function belowNote({ data, shape, spacing }, facts) {
  const reach = facts.source.below_vertex_mm;
  if (!reach) return "";
  const size = sliceShape(shape, facts.axis);
  const slices = toSlices(data, shape, facts.axis);
  const vertex = highestSlice(slices, size);
  if (vertex === size[0] - 1) {
    const mask = foreground(slices), area = size[1] * size[2];
    const areas = Array.from({ length: size[0] }, (_, i) =>
      count(mask.subarray(i * area, (i + 1) * area)));
    if (areas.at(-1) > CUT * Math.max(...areas)) {
      return "the top of the head is not in the scan: it ends in its highest slice, which still " +
        "shows much of it; give a scan of the whole brain, or trust only slices inside the brain";
    }
  }
  const below = vertex - Math.trunc(reach / across(spacing, facts.axis));
  if (vertex < 0 || below <= 0) return "";
  return `the lowest ${below} of ${size[0]} axial slices lie more than ${reach} mm below the top of ` +
    "the head, where training had none; do not use them";
}

function alike(ratio) {
  return ratio >= 1 / SAME_SIZE && ratio <= SAME_SIZE;
}

function mm(sizes) {
  return `${sizes.map((size) => Number(size.toPrecision(4))).join(" x ")} mm`;
}

function by([height, width]) {
  return `${width}x${height}`;
}

function ranges(places) {
  const runs = [];
  for (const place_ of places) {
    if (runs.length && runs.at(-1)[1] === place_ - 1) runs.at(-1)[1] = place_;
    else runs.push([place_, place_]);
  }
  return runs.map(([a, b]) => (a === b ? `${a}` : `${a} to ${b}`)).join(", ");
}
