/** Two pictures of NIfTI volumes on one grid, with linked crosshairs, by NiiVue. */

import { Niivue } from "@niivue/niivue";

const PLANES = { axial: 0, coronal: 1, sagittal: 2, all: 3 }; // NiiVue's slice types

export class Viewer {
  /**
   * @param {HTMLCanvasElement[]} canvases
   * @param {(fractions: number[], values: (number | null)[]) => void} onMove called with the place
   *   of the crosshairs, 0 to 1 along each axis, and the values of both pictures there
   */
  constructor(canvases, onMove) {
    this.canvases = canvases;
    this.onMove = onMove;
    this.pictures = [];
  }

  /** Starts WebGL; returns whether the browser has it. */
  async start() {
    if (this.pictures.length) return true;
    if (!document.createElement("canvas").getContext("webgl2")) return false;
    for (const canvas of this.canvases) {
      const picture = new Niivue({
        backColor: [0, 0, 0, 1], dragAndDropEnabled: false, isRadiologicalConvention: true,
        crosshairWidth: 0.4, loadingText: "", logLevel: "silent", sliceType: PLANES.axial, show3Dcrosshair: true,
      });
      await picture.attachToCanvas(canvas, false);
      this.pictures.push(picture);
    }
    const [left, right] = this.pictures;
    left.broadcastTo([right], { "2d": true, "3d": true });
    right.broadcastTo([left], { "2d": true, "3d": true });
    for (const picture of this.pictures) picture.onLocationChange = () => this.moved(picture);
    return true;
  }

  /** Shows an uncompressed NIfTI file in a picture: 0 is left, 1 is right. */
  async show(which, bytes, [low, high]) {
    const picture = this.pictures[which];
    const place = [...this.pictures[0].scene.crosshairPos];
    this.clear(which);
    await picture.loadFromArrayBuffer(bytes.slice().buffer, "volume.nii");
    this.window(which, low, high);
    this.moveTo(place);
  }

  clear(which) {
    const picture = this.pictures[which];
    while (picture?.volumes.length) picture.removeVolume(picture.volumes[0]);
  }

  /** Sets the values that are black and white. */
  window(which, low, high) {
    const picture = this.pictures[which], volume = picture?.volumes[0];
    if (!volume) return;
    [volume.cal_min, volume.cal_max] = [low, Math.max(high, low + 1e-6)];
    picture.updateGLVolume();
  }

  plane(name) {
    for (const picture of this.pictures) picture.setSliceType(PLANES[name]);
  }

  /** Moves the crosshairs of both pictures. */
  moveTo(fractions) {
    if (!this.pictures.length) return; // there is no WebGL
    for (const picture of this.pictures) {
      picture.scene.crosshairPos = Float32Array.from(fractions);
      if (picture.volumes.length) picture.drawScene();
    }
    this.moved(this.pictures[0]);
  }

  moved(picture) {
    const fractions = Array.from(picture.scene.crosshairPos);
    const values = this.pictures.map(({ volumes: [volume] }) => {
      if (!volume) return null;
      const [x, y, z] = fractions.map((f, axis) => {
        const n = volume.dimsRAS[axis + 1];
        return Math.min(Math.max(Math.floor(f * n), 0), n - 1);
      });
      return volume.getValue(x, y, z);
    });
    this.onMove(fractions, values);
  }
}
