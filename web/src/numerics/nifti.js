/**
 * Reads NIfTI files in RAS+ orientation, and writes volumes with the geometry of a source.
 *
 * It reads what `cyclegan_jax/data/formats/nifti.py` reads, but for NIfTI-2, and refuses the same.
 */

import { affineOfQuaternion, agree, orientationOf, spacingOf } from "./affine.js";
import { extremes } from "./intensity.js";
import { Refusal } from "./refusal.js";

/** A page must hold a volume several times; a whole head of 0.5 mm has 2 ** 26.6 voxels. */
export const MOST_VOXELS = 2 ** 27;
const HEADER = 348, MOST_HEADER = 2 ** 26, PADDING = 2 ** 24;
const SPACES = ["", "scanner", "aligned to another scan", "Talairach", "MNI", "template"];

/** By the code of a voxel type: its bytes, and how a value is read. */
const TYPES = {
  2: [1, (view, at) => view.getUint8(at)],
  4: [2, (view, at, little) => view.getInt16(at, little)],
  8: [4, (view, at, little) => view.getInt32(at, little)],
  16: [4, (view, at, little) => view.getFloat32(at, little)],
  64: [8, (view, at, little) => view.getFloat64(at, little)],
  256: [1, (view, at) => view.getInt8(at)],
  512: [2, (view, at, little) => view.getUint16(at, little)],
  768: [4, (view, at, little) => view.getUint32(at, little)],
  1024: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  1280: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
};

/**
 * A volume as a file has it.
 * @typedef {object} Volume
 * @property {Float32Array} data `[X, Y, Z]` in RAS+, the last axis fastest
 * @property {number[]} shape of `data`
 * @property {number[]} spacing voxel size in mm along X, Y and Z
 * @property {{header: Uint8Array, little: boolean, shape: number[],
 *   turn: {axis: number, sign: number}[]}} source what `write` needs: the bytes before the voxels,
 *   their byte order, the shape in voxel order, and the orientation of the voxel axes
 * @property {string[]} notes what the user must know
 */

/**
 * Reads a `.nii` or `.nii.gz` file; its content says whether it is compressed.
 * @param {Blob} file
 * @returns {Promise<Volume>}
 * @throws {Refusal} in one sentence, if it is no 3-D volume of real numbers, or damaged
 */
export async function read(file) {
  const bytes = await inflated(file);
  const header = parsedHeader(bytes);
  const values = voxels(bytes, header);
  checkValues(values);
  const turn = orientationOf(header.affine);
  const source = {
    header: bytes.slice(0, header.offset), little: header.little, shape: header.spatial, turn,
  };
  const shape = [0, 0, 0];
  turn.forEach(({ axis }, i) => (shape[axis] = header.spatial[i]));
  const data = new Float32Array(values.length);
  eachVoxel(source, shape, (inFile, inRas) => (data[inRas] = values[inFile]));
  return { data, shape, spacing: spacingOf(header.affine), source, notes: header.notes };
}

/**
 * Returns a NIfTI file of float32, uncompressed, with the geometry of a volume's file.
 * @param {Float32Array} data `[X, Y, Z]` in RAS+
 * @param {Volume} like
 * @param {string} descrip at most 79 bytes; says what made it
 * @returns {Uint8Array}
 */
export function write(data, like, descrip) {
  const { header, little } = like.source;
  const extended = header.length > HEADER + 4 && header[HEADER] !== 0;
  const offset = extended ? header.length : HEADER + 4;
  const bytes = new Uint8Array(offset + 4 * data.length);
  bytes.set(header.subarray(0, extended ? offset : HEADER));
  const view = new DataView(bytes.buffer);
  view.setInt16(70, 16, little); // float32
  view.setInt16(72, 32, little); // bits
  [offset, 1, 0].forEach((value, i) => view.setFloat32(108 + 4 * i, value, little));
  [0, 0].forEach((value, i) => view.setFloat32(124 + 4 * i, value, little)); // cal_max, cal_min
  bytes.fill(0, 148, 228);
  bytes.set(new TextEncoder().encode(descrip).subarray(0, 79), 148);
  eachVoxel(like.source, like.shape, (inFile, inRas) =>
    view.setFloat32(offset + 4 * inFile, data[inRas], little));
  return bytes;
}

/** Calls `act` with the places of every voxel in the file's order and in `[X, Y, Z]`. */
function eachVoxel({ shape: own, turn }, shape, act) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const steps = turn.map(({ axis, sign }) => sign * strides[axis]);
  const begin = turn.reduce((sum, { axis, sign }, i) =>
    sum + (sign < 0 ? (own[i] - 1) * strides[axis] : 0), 0);
  let inFile = 0;
  for (let k = 0; k < own[2]; k++) {
    for (let j = 0; j < own[1]; j++) {
      let inRas = begin + j * steps[1] + k * steps[2];
      for (let i = 0; i < own[0]; i++, inRas += steps[0]) act(inFile++, inRas);
    }
  }
}

/** Returns a file's content without compression; stops where it is longer than it declares. */
async function inflated(file) {
  const start = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  const isGzip = start[0] === 0x1f && start[1] === 0x8b;
  let stream = file.stream();
  if (isGzip) stream = stream.pipeThrough(new DecompressionStream("gzip"));
  const reader = stream.getReader();
  const pieces = [];
  let length = 0, declared = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      length += value.length;
      if (!declared && length >= HEADER + 4) {
        const header = parsedHeader(joined(pieces, HEADER + 4));
        declared = header.offset + header.count * header.bytes;
      }
      if (length > (declared || HEADER) + PADDING) {
        throw new Refusal("is longer than its header says; export it again");
      }
    }
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("is damaged or cut off, so it cannot be unpacked; get it again");
  } finally {
    reader.cancel().catch(() => {});
  }
  if (length < HEADER + 4) throw new Refusal("is no NIfTI file; give a .nii or .nii.gz file");
  if (length < declared) {
    throw new Refusal(`is cut off: it has ${length} bytes of ${declared}; get it again`);
  }
  return joined(pieces, length);
}

function joined(pieces, most) {
  const bytes = new Uint8Array(most);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece.subarray(0, most - at), at);
    at += Math.min(piece.length, most - at);
  }
  return bytes;
}

/** Reads and checks the header at the beginning of `bytes`. */
function parsedHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const little = view.getInt32(0, true) === HEADER;
  const size = view.getInt32(0, little);
  if (size === 540 || view.getInt32(0, true) === 540) {
    throw new Refusal("is NIfTI-2; convert it to NIfTI-1");
  }
  const magic = String.fromCharCode(...bytes.subarray(344, 347));
  if (size !== HEADER || (magic !== "n+1" && magic !== "ni1")) {
    throw new Refusal("is no NIfTI file; give a .nii or .nii.gz file");
  }
  if (magic === "ni1") throw new Refusal("has its voxels in another file; convert it to one .nii");
  const floats = (at, count) =>
    Array.from({ length: count }, (_, i) => view.getFloat32(at + 4 * i, little));
  const axes = view.getInt16(40, little);
  const dim = Array.from({ length: Math.min(Math.max(axes, 0), 7) }, (_, i) =>
    view.getInt16(42 + 2 * i, little));
  const [offset, slope, inter] = floats(108, 3);
  const code = view.getInt16(70, little);
  const header = {
    little, slope, inter, spatial: spatialAxes(dim), offset: Math.trunc(offset),
    ...voxelType(code),
  };
  header.count = header.spatial.reduce((product, n) => product * n, 1);
  if (header.count > MOST_VOXELS) {
    throw new Refusal(`declares ${header.spatial.join(" x ")} voxels, more than a page can hold; ` +
      "use cyclegan-jax translate, or crop it");
  }
  if (!(offset >= HEADER + 4 && offset <= MOST_HEADER)) {
    throw new Refusal(`says that its voxels begin at byte ${offset}; export it again`);
  }
  return { ...header, ...chosenAffine(view, little, floats) };
}

function voxelType(code) {
  if (code === 128 || code === 2304) throw new Refusal("is a colour (RGB) image; convert it to grey");
  if (code === 32 || code === 1792) {
    throw new Refusal("has complex numbers; save their magnitude");
  }
  if (!(code in TYPES)) throw new Refusal(`has voxels of type ${code}; convert it to float32`);
  return { bytes: TYPES[code][0], value: TYPES[code][1] };
}

/** Returns the lengths of the axes of space; leading axes of 1, as of channels, are dropped. */
function spatialAxes(dim) {
  const text = `shape ${dim.join(" x ")}`;
  if (dim.length < 3) throw new Refusal(`has ${text}, which is no volume; give a 3-D file`);
  if (dim.some((n) => n < 1)) throw new Refusal(`has ${text}; its header is damaged, export it again`);
  let first = Math.max(dim.findIndex((n) => n > 1), 0);
  if (dim.length < first + 3 || Math.min(...dim.slice(first, first + 3)) === 1) first = 0;
  const frames = dim.slice(first + 3).reduce((product, n) => product * n, 1);
  if (frames > 1) {
    throw new Refusal(`has ${text}, which are ${frames} frames; save one as a 3-D file`);
  }
  return dim.slice(first, first + 3);
}

/** Returns the affine that is used, and notes on it. */
function chosenAffine(view, little, floats) {
  const codes = [view.getInt16(254, little), view.getInt16(252, little)]; // sform, qform
  if (codes[0] === 0 && codes[1] === 0) {
    throw new Refusal(
      "has neither sform nor qform, so left and right are unknown; convert it again from DICOM");
  }
  const rows = floats(280, 12);
  const sform = [rows.slice(0, 4), rows.slice(4, 8), rows.slice(8, 12), [0, 0, 0, 1]];
  const qform = affineOfQuaternion(floats(256, 3), floats(268, 3), floats(76, 4));
  const affine = codes[0] > 0 ? sform : qform;
  if (!affine || !orientationOf(affine)) {
    throw new Refusal("has an affine that gives no orientation; fix its sform or qform");
  }
  if (codes[0] === 0 || codes[1] === 0) return { affine, notes: [] };
  if (!qform || !qform.flat().every(Number.isFinite)) {
    throw new Refusal("has a damaged qform; set it right, or its code to 0");
  }
  if (agree(sform, qform)) return { affine, notes: [] };
  if (codes[0] === codes[1]) {
    throw new Refusal("has an sform and a qform that disagree; remove the wrong one");
  }
  const names = codes.map((code) => SPACES[code] ?? `code ${code}`);
  return { affine, notes: [
    `sform (${names[0]}) and qform (${names[1]}) differ in voxel size or orientation, as they ` +
    "may, since they lead to different spaces; the sform is used",
  ] };
}

function voxels(bytes, { offset, count, bytes: size, value, little, slope, inter }) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const scaled = Number.isFinite(slope) && slope !== 0 && !(slope === 1 && inter === 0);
  if (scaled && !Number.isFinite(inter)) throw new Refusal("has a damaged scaling; export it again");
  const values = new Float32Array(count);
  for (let i = 0, at = offset; i < count; i++, at += size) {
    const raw = value(view, at, little);
    values[i] = scaled ? raw * slope + inter : raw;
  }
  return values;
}

function checkValues(values) {
  let bad = 0;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) bad++;
  if (bad) throw new Refusal(`has ${bad} voxels that are NaN or infinite; set them to the air value`);
  const [low, high] = extremes(values);
  if (low === high) throw new Refusal(`has ${low} in every voxel; give a volume with contrast`);
}
