/** Cuts volumes into slices and puts them together again: `cyclegan_jax/data/slicing.py`. */

const ORDER = { axial: [2, 1, 0], coronal: [1, 2, 0], sagittal: [0, 2, 1] };

/** Returns the shape `[N, H, W]` of the slices of a volume. */
export function sliceShape(shape, axis) {
  return ORDER[axis].map((i) => shape[i]);
}

/** Turns `[X, Y, Z]` into `[N, H, W]`, as displayed. */
export function toSlices(data, shape, axis) {
  const out = new data.constructor(data.length);
  eachPixel(shape, axis, (inSlices, inVolume) => (out[inSlices] = data[inVolume]));
  return out;
}

/** Turns `[N, H, W]` into `[X, Y, Z]` of a shape; the inverse of `toSlices`. */
export function fromSlices(slices, shape, axis) {
  const out = new slices.constructor(slices.length);
  eachPixel(shape, axis, (inSlices, inVolume) => (out[inVolume] = slices[inSlices]));
  return out;
}

/** Returns height and width in mm of a pixel. */
export function inPlane(spacing, axis) {
  return [spacing[ORDER[axis][1]], spacing[ORDER[axis][2]]];
}

/** Returns the distance in mm from one slice to the next. */
export function across(spacing, axis) {
  return spacing[ORDER[axis][0]];
}

/** Returns the voxel size along X, Y and Z of slices with such pixels. */
export function voxel(pixel, between, axis) {
  const sizes = [0, 0, 0];
  ORDER[axis].forEach((i, place) => (sizes[i] = [between, ...pixel][place]));
  return sizes;
}

function eachPixel(shape, axis, act) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [n, h, w] = sliceShape(shape, axis);
  const [across_, down, right] = ORDER[axis].map((i) => strides[i]);
  let inSlices = 0;
  for (let i = 0; i < n; i++) {
    for (let j = h - 1; j >= 0; j--) {
      for (let k = w - 1; k >= 0; k--) act(inSlices++, i * across_ + j * down + k * right);
    }
  }
}
