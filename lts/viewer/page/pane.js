// One plane on the page: its picture, where that is zoomed to, and its slider.

import { describe, Drawing } from "./drawing.js";
import { listen } from "./gestures.js";
import { depthOf } from "./planes.js";
import { Rail } from "./rail.js";
import { View } from "./view.js";

export class Pane {
  /**
   * `masks` are as in `Viewer`. `on` is told what happens here: `activate(pane)`, `enlarge(pane)`,
   * `goTo(pane, index)`, `zoomed()`, and `begin(pane, point, button)`, `drag(pane, point, by)`, `end(pane)`,
   * `cancel(pane)` of a pointer.
   */
  constructor(scan, plane, masks, on, signal) {
    [this.scan, this.plane, this.masks, this.on] = [scan, plane, masks, on];
    [this.view, this.image, this.index] = [new View(plane), null, 0];
    this.element = document.getElementById("pane").content.firstElementChild.cloneNode(true);
    const find = (name) => this.element.querySelector(name);
    [this.canvas, this.loading, this.large] = [find(".picture"), find(".loading"), find(".large")];
    this.element.dataset.plane = plane.name;
    this.element.setAttribute("aria-label", plane.title);
    find("h2").textContent = plane.title;
    this.canvas.id = plane.name;
    this.canvas.setAttribute("aria-label", plane.title);
    this.large.setAttribute("aria-label", `${plane.title} alone`);
    this.number = find("output");
    const onIndex = (index) => on.goTo(this, index);
    this.rail = new Rail(scan, plane, find(".rail"), { onIndex, signal });
    this.measured = null;
    this.drawing = new Drawing(this.canvas, plane, scan.regions, masks);
    this.listen(signal);
  }

  listen(signal) {
    const { on } = this;
    for (const type of ["focusin", "pointerdown"]) {
      this.element.addEventListener(type, () => on.activate(this), { signal });
    }
    this.large.addEventListener("click", () => on.enlarge(this), { signal });
    listen(
      this.canvas,
      {
        begin: (point, button) => on.begin(this, point, button),
        drag: (point, by) => on.drag(this, point, by),
        end: () => on.end(this),
        cancel: () => on.cancel(this),
        step: (slices) => this.step(slices),
        zoom: (factor, point) => this.zoomBy(factor, point),
        pinch: (factor, by, point) => {
          this.moveBy(by);
          this.zoomBy(factor, point);
        },
      },
      signal,
    );
  }

  /** Go up by so many planes: toward the head, the front or the right. */
  step(planes) {
    this.on.goTo(this, this.index + planes * this.plane.up);
  }

  /** Width and height of the canvas in CSS pixels; kept, as the browser lays out the page to tell them. */
  get size() {
    this.measured ??= [this.canvas.clientWidth, this.canvas.clientHeight];
    return this.measured;
  }

  /** Measure anew, as the page may have changed. */
  resized() {
    this.measured = null;
    this.rail.resized();
  }

  /** The point of the picture, `[column, row]`, at a point of the canvas. */
  pictureAt([x, y]) {
    const place = this.view.place(...this.size);
    return [(x - place.x) / place.perColumn, (y - place.y) / place.perRow];
  }

  /** The point of the canvas at a point of the picture. */
  canvasAt([column, row]) {
    const place = this.view.place(...this.size);
    return [place.x + column * place.perColumn, place.y + row * place.perRow];
  }

  /** How far two points of the picture are from each other on the canvas. */
  pixelsBetween(a, b) {
    const [[x0, y0], [x1, y1]] = [this.canvasAt(a), this.canvasAt(b)];
    return Math.hypot(x1 - x0, y1 - y0);
  }

  zoomBy(factor, point) {
    this.view.zoomBy(factor, point, ...this.size);
    this.on.zoomed();
  }

  moveBy(by) {
    this.view.moveBy(by, ...this.size);
    this.on.zoomed();
  }

  /** Tell which plane is looked at, before it is here. */
  show(voxel) {
    const index = voxel[this.plane.along];
    if (index !== this.index) {
      [this.index, this.image] = [index, null];
    }
    this.waiting = "Loading\u2026";
    const number = `${this.plane.numberOf(this.index)} of ${this.plane.countOfAll}`;
    this.number.textContent = number;
    this.where = `slice ${number}, ${depthOf(this.scan, this.plane, voxel)}`;
    this.rail.show(this.index, this.where);
  }

  /** Draw the picture that is looked at, see `Drawing.draw`. */
  draw(image, looks) {
    this.image = image;
    this.say("");
    this.drawing.draw(image, this.view, this.size, looks);
    this.rail.draw();
    this.canvas.dataset.slice = this.index;
    const seen = describe(image, this.scan.regions, this.masks);
    this.canvas.setAttribute("aria-label", `${this.plane.title} ${this.where}, ${seen}`);
  }

  /** Without the picture, say that it is awaited, or why it does not come. */
  wait() {
    this.say(this.waiting);
  }

  say(text) {
    this.loading.textContent = text;
    this.loading.hidden = text === "";
  }
}
