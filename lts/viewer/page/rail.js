// Beside a plane: a slider, and marks where regions are.

import { COLORS, DIFFERENCE } from "./drawing.js";

const THUMB = 8;

export class Rail {
  /** `onIndex(index)` is called when another plane is chosen. */
  constructor(scan, plane, element, { onIndex, signal }) {
    [this.scan, this.plane, this.differing, this.drawnAt] = [scan, plane, [], null];
    [this.slider, this.marks] = [element.querySelector("input"), element.querySelector(".marks")];
    this.slider.id = `${plane.name}-slider`;
    this.slider.max = plane.count - 1;
    this.slider.setAttribute("aria-label", `${plane.title} slice, ${plane.range}`);
    this.slider.addEventListener("input", () => onIndex(plane.turned(Number(this.slider.value))), { signal });
    this.marks.addEventListener(
      "pointerdown",
      ({ offsetY }) => {
        const height = this.marks.clientHeight;
        onIndex(plane.turned(Math.round((height - THUMB - offsetY) / this.step(height, 1))));
      },
      { signal },
    );
  }

  show(index, text) {
    this.slider.value = this.plane.turned(index);
    this.slider.setAttribute("aria-valuetext", text);
  }

  /** How many pixels differ in each slice. */
  setDiffering(pixelsPerSlice) {
    [this.differing, this.drawnAt] = [pixelsPerSlice, null];
  }

  resized() {
    this.drawnAt = null;
  }

  /** Where liver is, over it where tumor is, and at the left where masks differ; of axial slices alone. */
  draw() {
    const ratio = globalThis.devicePixelRatio || 1;
    if (this.plane.along !== 0 || this.drawnAt === ratio) {
      return;
    }
    this.drawnAt = ratio;
    const canvas = this.marks;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    const [width, third] = [canvas.width, canvas.width / 3];
    for (const region of this.scan.regions) {
      context.fillStyle = COLORS[region];
      context.globalAlpha = region === "liver" ? 0.4 : 1;
      const left = region === "liver" ? width - third : 0;
      this.mark(context, this.scan.pixels_per_slice[region], left, width - left, ratio);
    }
    [context.fillStyle, context.globalAlpha] = [DIFFERENCE, 1];
    this.mark(context, this.differing, 0, third, ratio);
  }

  /** Mark the slices that have pixels, from the feet up. */
  mark(context, pixelsPerSlice, left, width, ratio) {
    const { height } = context.canvas;
    const step = this.step(height, ratio);
    const path = new Path2D();
    pixelsPerSlice.forEach((pixels, z) => {
      if (pixels > 0) {
        const half = Math.max(step, 2 * ratio) / 2;
        const middle = height - THUMB * ratio - z * step;
        const [top, bottom] = [Math.round(middle - half), Math.round(middle + half)];
        path.rect(left, top, width, bottom - top + 1);
      }
    });
    context.fill(path); // at once, so that what overlaps is no brighter
  }

  /** From one mark to the next: the thumb of a slider stops half its size before the ends. */
  step(height, ratio) {
    return (height - 2 * THUMB * ratio) / Math.max(1, this.plane.count - 1);
  }
}
