/** What an affine says of a volume: which voxel axis runs which way, and how large voxels are. */

/**
 * Returns for each voxel axis the axis of RAS+ nearest to it, and whether it runs against it.
 * It is null if the affine gives no orientation.
 * @param {number[][]} affine 4 x 4, from voxels to mm
 * @returns {{axis: number, sign: 1 | -1}[] | null}
 */
export function orientationOf(affine) {
  if (!affine.flat().every(Number.isFinite)) return null;
  const sizes = voxelSizes(affine);
  let turn = [0, 1, 2].map((i) => [0, 1, 2].map((j) => affine[i][j] / (sizes[j] || 1)));
  if (Math.abs(determinant(turn)) < 1e-12) return null;
  // Newton's iteration to the nearest rotation (or reflection)
  for (let round = 0; round < 50; round++) {
    const inverse = inverted(turn);
    turn = turn.map((row, i) => row.map((value, j) => (value + inverse[j][i]) / 2));
  }
  const strongest = [0, 1, 2].map((j) => Math.max(...[0, 1, 2].map((i) => turn[i][j] ** 2)));
  const order = [0, 1, 2].sort((a, b) => strongest[b] - strongest[a] || a - b);
  const free = [true, true, true];
  const found = [];
  for (const j of order) {
    let best = -1;
    for (let i = 0; i < 3; i++) {
      if (free[i] && (best < 0 || Math.abs(turn[i][j]) > Math.abs(turn[best][j]))) best = i;
    }
    free[best] = false;
    found[j] = { axis: best, sign: turn[best][j] < 0 ? -1 : 1 };
  }
  return found;
}

/** Returns the voxel size in mm along each voxel axis. */
export function voxelSizes(affine) {
  return [0, 1, 2].map((j) => Math.hypot(affine[0][j], affine[1][j], affine[2][j]));
}

/** Returns the voxel size in mm along X, Y and Z of RAS+. */
export function spacingOf(affine) {
  const sizes = voxelSizes(affine), spacing = [0, 0, 0];
  orientationOf(affine).forEach(({ axis }, j) => (spacing[axis] = sizes[j]));
  return spacing;
}

/** Returns whether two affines agree about orientation and, to 1 %, about voxel size. */
export function agree(one, other) {
  const back = inverted(one.slice(0, 3).map((row) => row.slice(0, 3)));
  const between = back.map((row) =>
    [0, 1, 2].map((j) => row.reduce((sum, value, k) => sum + value * other[k][j], 0)));
  const turn = orientationOf([...between.map((row) => [...row, 0]), [0, 0, 0, 1]]);
  const sizes = [voxelSizes(one), voxelSizes(other)];
  return turn !== null && turn.every(({ axis, sign }, j) => axis === j && sign === 1) &&
    sizes[0].every((size, j) => Math.abs(size - sizes[1][j]) <= 0.01 * Math.abs(sizes[1][j]));
}

/**
 * Returns the affine of a quaternion as NIfTI stores it, or null if it is longer than 1.
 * @param {number[]} bcd the last three parts of the quaternion
 * @param {number[]} offset in mm
 * @param {number[]} pixdim the first four of the header
 */
export function affineOfQuaternion(bcd, offset, pixdim) {
  const [b, c, d] = bcd;
  const rest = 1 - (b * b + c * c + d * d);
  if (!(rest > -3 * 1.1920929e-7)) return null;
  const a = Math.sqrt(Math.max(rest, 0));
  const turn = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  const norm = a * a + b * b + c * c + d * d;
  const sizes = [pixdim[1], pixdim[2], pixdim[3] * (pixdim[0] === -1 ? -1 : 1)];
  const rows = turn.map((row, i) => [...row.map((v, j) => (v / norm) * sizes[j]), offset[i]]);
  return [...rows, [0, 0, 0, 1]];
}

function determinant(m) {
  return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
    m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
    m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

function inverted(m) {
  const det = determinant(m), next = (i) => (i + 1) % 3, last = (i) => (i + 2) % 3;
  return [0, 1, 2].map((i) => [0, 1, 2].map((j) =>
    (m[next(j)][next(i)] * m[last(j)][last(i)] - m[next(j)][last(i)] * m[last(j)][next(i)]) / det));
}
