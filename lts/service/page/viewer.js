// The viewer: which slice is shown, how it is moved, and the rail with the marks of tumor beside it.

import { COLORS, Drawing, grayTable } from "./drawing.js";
import { Slices } from "./slices.js";

const PAGE = 10;
const WHEEL_STEP = 60;
const DRAG_SHARE = 1 / 250;
const LINE_PX = 20;

const byId = (id) => document.getElementById(id);

/** The slice to begin with: that with most tumor, else most liver, else the middle. */
export function firstSlice(scan) {
  for (const region of ["tumor", "liver"]) {
    const pixels = scan.pixels_per_slice[region] ?? [];
    const most = Math.max(0, ...pixels);
    if (most > 0) {
      return pixels.indexOf(most);
    }
  }
  return Math.floor(scan.shape[0] / 2);
}

export class Viewer {
  constructor(scan) {
    this.scan = scan;
    this.depth = scan.shape[0];
    this.canvas = byId("slice");
    this.drawing = new Drawing(this.canvas, scan);
    this.lesion = null;
    this.wheel = 0;
    this.pending = false;
    this.listeners = new AbortController();
    this.slices = new Slices(scan, {
      onLoad: (z) => z === this.z && this.refresh(),
      onFail: (status) => {
        this.say(status === 404 ? "This result is no longer kept." : "The slice could not be loaded.");
      },
    });
    byId("slider").max = this.depth - 1;
    this.listen();
    this.setWindow(scan.windows[0]);
    this.show(firstSlice(scan));
  }

  close() {
    this.listeners.abort();
    this.sizes.disconnect();
    this.slices.close();
  }

  /** Look at a slice; beyond the ends, at the last. */
  show(z) {
    this.z = Math.min(this.depth - 1, Math.max(0, z));
    const slider = byId("slider");
    slider.value = this.z;
    const [number, height] = [`Slice ${this.z + 1} of ${this.depth}`, heightOf(this.scan, this.z)];
    slider.setAttribute("aria-valuetext", `${number}, ${height}`);
    const [strong, soft] = [document.createElement("b"), document.createElement("span")];
    [strong.textContent, soft.textContent] = [number, height];
    byId("place").replaceChildren(strong, " ", soft);
    this.refresh();
  }

  setWindow(window) {
    this.window = { ...window, width: Math.max(window.width, Number.EPSILON) };
    this.table = grayTable(this.scan.value_scale, this.window);
    this.refresh();
  }

  mark(lesion) {
    this.lesion = lesion;
    this.show(lesion.slice);
  }

  /** Draw at the browser's next frame. */
  refresh() {
    if (!this.pending) {
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        this.draw();
      });
    }
  }

  draw() {
    if (this.z === undefined || this.listeners.signal.aborted) {
      return;
    }
    const slice = this.slices.look(this.z);
    if (slice === undefined) {
      this.say("Loading\u2026");
      return;
    }
    this.say("");
    const { lesion, window, table } = this;
    const away = lesion === null ? Infinity : Math.abs(this.z - lesion.slice) * this.scan.spacing_mm[0];
    const marked = lesion !== null && (away === 0 || away <= lesion.radiusMm) ? lesion : null;
    this.drawing.draw(slice, { table, window, contours: byId("contours").checked, lesion: marked });
    this.drawMarks();
    this.canvas.dataset.slice = this.z;
    this.canvas.setAttribute("aria-label", this.describe());
  }

  describe() {
    const seen = this.scan.regions.filter((region) => this.scan.pixels_per_slice[region][this.z] > 0);
    const regions = seen.length > 0 ? `with ${seen.join(" and ")}` : "without a region";
    return `Axial slice ${this.z + 1} of ${this.depth}, ${heightOf(this.scan, this.z)}, ${regions}`;
  }

  say(text) {
    byId("loading").textContent = text;
    byId("loading").hidden = text === "";
  }

  /** Beside the slider: where liver is, and over it where tumor is. */
  drawMarks() {
    const canvas = byId("marks");
    const ratio = globalThis.devicePixelRatio || 1;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    const step = this.markStep(canvas.height, ratio);
    for (const region of this.scan.regions) {
      context.fillStyle = COLORS[region];
      context.globalAlpha = region === "liver" ? 0.4 : 1;
      const marks = new Path2D();
      const width = region === "liver" ? canvas.width / 3 : canvas.width;
      this.scan.pixels_per_slice[region].forEach((pixels, z) => {
        if (pixels > 0) {
          const half = Math.max(step, 2 * ratio) / 2;
          const middle = canvas.height - 8 * ratio - z * step;
          const [top, bottom] = [Math.round(middle - half), Math.round(middle + half)];
          marks.rect(canvas.width - width, top, width, bottom - top + 1);
        }
      });
      context.fill(marks); // at once, so that what overlaps is no brighter
    }
  }

  /** From one mark to the next: the thumb of a slider stops half its size before the ends. */
  markStep(height, ratio) {
    return (height - 16 * ratio) / Math.max(1, this.depth - 1);
  }

  listen() {
    const on = (target, type, handle, options = {}) =>
      target.addEventListener(type, handle, { ...options, signal: this.listeners.signal });
    on(byId("slider"), "input", (event) => this.show(Number(event.target.value)));
    on(byId("contours"), "change", () => {
      byId("legend").classList.toggle("off", !byId("contours").checked);
      this.refresh();
    });
    on(byId("frame"), "wheel", (event) => this.onWheel(event), { passive: false });
    on(byId("marks"), "pointerdown", (event) => {
      const height = event.target.clientHeight;
      this.show(Math.round((height - 8 - event.offsetY) / this.markStep(height, 1)));
    });
    on(this.canvas, "pointerdown", (event) => this.beginDrag(event));
    on(this.canvas, "pointermove", (event) => this.onDrag(event));
    on(this.canvas, "pointerup", () => { this.dragged = null; });
    on(this.canvas, "pointercancel", () => { this.dragged = null; });
    on(document, "keydown", (event) => this.onKey(event));
    this.sizes = new ResizeObserver(() => this.refresh());
    this.sizes.observe(this.canvas);
  }

  onWheel(event) {
    event.preventDefault();
    this.wheel += event.deltaMode === 1 ? event.deltaY * LINE_PX : event.deltaY;
    const steps = Math.trunc(this.wheel / WHEEL_STEP);
    if (steps !== 0) {
      // A notch of a wheel is one slice, however far a browser says that it scrolls.
      this.show(this.z - (Math.abs(steps) <= 2 ? Math.sign(steps) : Math.trunc(steps / 2)));
      this.wheel = 0;
    }
  }

  beginDrag(event) {
    if (event.button === 0) {
      this.dragged = { x: event.clientX, y: event.clientY, z: this.z, window: this.window };
      this.canvas.setPointerCapture(event.pointerId);
    }
  }

  /** A mouse sets the gray window; a finger, which has no wheel, moves through the slices. */
  onDrag(event) {
    if (!this.dragged) {
      return;
    }
    const [across, down] = [event.clientX - this.dragged.x, event.clientY - this.dragged.y];
    if (event.pointerType === "touch") {
      this.show(this.dragged.z - Math.round(down / LINE_PX));
    } else if (Math.abs(across) + Math.abs(down) > 3) {
      const { level, width } = this.dragged.window;
      this.setWindow({
        width: width * Math.exp(2 * across * DRAG_SHARE),
        level: level - down * width * DRAG_SHARE,
      });
      for (const choice of document.querySelectorAll("#windows input")) {
        choice.checked = false;
      }
    }
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const moves = { ArrowUp: 1, ArrowDown: -1, PageUp: PAGE, PageDown: -PAGE, Home: -Infinity, End: Infinity };
    if (event.target.type === "radio" && event.key.startsWith("Arrow")) {
      return; // moves within the group
    }
    if (event.key in moves) {
      this.show(this.z + moves[event.key]);
      event.preventDefault();
    } else if (event.key.toLowerCase() === "c") {
      byId("contours").click();
    } else if (event.key >= "1" && event.key <= "9") {
      document.querySelectorAll("#windows input")[Number(event.key) - 1]?.click();
    }
  }
}

/** The height of a slice in the scanner's coordinates, toward the head (S) or the feet (I). */
export function heightOf(scan, z) {
  const mm = scan.first_slice_mm + z * scan.slice_step_mm;
  return `${mm < 0 ? "I" : "S"} ${Math.abs(mm).toFixed(1)} mm`;
}
