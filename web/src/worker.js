/**
 * Reads and translates scans beside the page, so that the page stays usable.
 *
 * Messages to it: `{file, direction}` translates a file, and without `direction` only reads it.
 * Messages from it: `{progress: [done, all]}`, `{opened}`, `{made}` or `{failed}`.
 */

import * as ort from "onnxruntime-web";
import { percentiles } from "./numerics/intensity.js";
import { read, write } from "./numerics/nifti.js";
import { Refusal } from "./numerics/refusal.js";
import { translateVolume } from "./numerics/translate.js";

const AT_ONCE = 2; // slices; more are not faster, and progress would come late
const beside = (name) => new URL(name, self.location.href).href;

ort.env.wasm.wasmPaths = {
  mjs: beside("ort-wasm-simd-threaded.mjs"),
  wasm: beside("ort-wasm-simd-threaded.wasm"),
};
// threads share memory, which browsers allow to isolated pages alone
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;
ort.env.logLevel = "error";

const sessions = new Map(); // by the name of the file

self.onmessage = async ({ data: { file, direction } }) => {
  try {
    const volume = await read(file);
    if (!direction) {
      const { shape, spacing, data } = volume;
      const bytes = write(data, volume, "");
      const range = percentiles(data, [1, 99.5]);
      self.postMessage({ opened: { bytes, range, shape, spacing } });
      return;
    }
    const session = await sessionOf(direction.file);
    const { facts } = direction;
    const made = await translateVolume(volume, facts, (framed, count, frame) =>
      generate(session, framed, count, frame));
    self.postMessage({ made: {
      result: write(made.data, volume, facts.descrip),
      source: write(made.source, volume, ""),
      difference: write(made.difference, volume, ""),
      range: made.range,
      notes: made.notes,
    } });
  } catch (error) {
    const known = error instanceof Refusal;
    if (!known) console.error(error);
    const failed = known ? error.message : `cannot be translated here (${error.message})`;
    self.postMessage({ failed });
  }
};

async function sessionOf(name) {
  if (!sessions.has(name)) {
    const answer = await fetch(beside(name));
    if (!answer.ok) throw new Error(`${name} is missing on the server`);
    const model = new Uint8Array(await answer.arrayBuffer());
    sessions.clear(); // a page needs one at a time
    sessions.set(name, await ort.InferenceSession.create(model));
  }
  return sessions.get(name);
}

async function generate(session, framed, count, [height, width]) {
  const pixels = height * width, out = new Float32Array(framed.length);
  self.postMessage({ progress: [0, count] });
  for (let start = 0; start < count; start += AT_ONCE) {
    const end = Math.min(start + AT_ONCE, count);
    const part = framed.slice(start * pixels, end * pixels);
    const source = new ort.Tensor("float32", part, [end - start, 1, height, width]);
    const { translation } = await session.run({ source });
    out.set(translation.data, start * pixels);
    self.postMessage({ progress: [end, count] });
  }
  return out;
}
