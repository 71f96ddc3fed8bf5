// Beside a plane: a slider, and marks where regions are.

import { COLORS } from "./drawing.js";

const THUMB = 8;

export class Rail {
  /** `onIndex(index)` is called when another plane is chosen. */
  constructor(scan, plane, element, { onIndex, signal }) {
    [this.scan, this.plane] = [scan, plane];
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

  /** Where liver is, and over it where tumor is; of axial slices, whose pixels are counted. */
  draw() {
    if (this.plane.along !== 0) {
      return;
    }
    const ratio = globalThis.devicePixelRatio || 1;
    const canvas = this.marks;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    const step = this.step(canvas.height, ratio);
    for (const region of this.scan.regions) {
      context.fillStyle = COLORS[region];
      context.globalAlpha = region === "liver" ? 0.4 : 1;
      const path = new Path2D();
      const width = region === "liver" ? canvas.width / 3 : canvas.width;
      this.scan.pixels_per_slice[region].forEach((pixels, z) => {
        if (pixels > 0) {
          const half = Math.max(step, 2 * ratio) / 2;
          const middle = canvas.height - THUMB * ratio - z * step;
          const [top, bottom] = [Math.round(middle - half), Math.round(middle + half)];
          path.rect(canvas.width - width, top, width, bottom - top + 1);
        }
      });
      context.fill(path); // at once, so that what overlaps is no brighter
    }
  }

  /** From one mark to the next: the thumb of a slider stops half its size before the ends. */
  step(height, ratio) {
    return (height - 2 * THUMB * ratio) / Math.max(1, this.plane.count - 1);
  }
}
