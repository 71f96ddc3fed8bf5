// The viewer: a voxel that three planes cross in, and what is drawn in them.

import { listenToControls, overlays } from "./controls.js";
import { grayTable } from "./drawing.js";
import { listenToKeys } from "./keys.js";
import { Lesions } from "./lesions.js";
import { Measures } from "./measurelist.js";
import { Pane } from "./pane.js";
import { fillLegend } from "./panel.js";
import { clamp, Plane, worldOf } from "./planes.js";
import { Slices } from "./slices.js";
import { makeTools } from "./tools.js";

const LEFT_BUTTON = 0;
const MIDDLE_BUTTON = 1;

const byId = (id) => document.getElementById(id);

export class Viewer {
  /**
   * Nothing is shown before `show`.
   *
   * `masks` tells how they are called and drawn: `{first, second, dashed}`, names, of which the first may be "",
   * and the one whose contours are dashed, `first` or `second`. `whyNoLesion` is told where there is none.
   */
  constructor(scan, { masks, whyNoLesion }) {
    [this.scan, this.masks, this.slices] = [scan, masks, null];
    this.listeners = new AbortController();
    const { signal } = this.listeners;
    this.planes = ["axial", "coronal", "sagittal"].map((name) => new Plane(scan, name));
    this.panes = this.planes.map((plane) => new Pane(scan, plane, masks, this.paneCalls(), signal));
    byId("stage").replaceChildren(...this.panes.map((pane) => pane.element));
    this.measures = new Measures(scan, {
      onChange: () => this.refresh(),
      onSelect: ({ plane, index }) => this.goTo(this.paneOf(plane), index),
    });
    this.lesion = null;
    this.lesions = new Lesions(scan, {
      whyNone: whyNoLesion,
      numberOf: (index) => this.planes[0].numberOf(index),
      onChoose: (lesion) => {
        this.lesion = lesion;
        this.lookAt(lesion.voxel);
      },
      signal,
    });
    this.tools = makeTools(this);
    this.voxel = scan.start_zhw;
    listenToControls(this, signal);
    listenToKeys(this, signal);
    this.sizes = new ResizeObserver(() => {
      this.panes.forEach((pane) => pane.resized());
      this.refresh();
    });
    this.panes.forEach((pane) => this.sizes.observe(pane.canvas));
    this.enlarge(null);
    this.activate(this.panes[0]);
    this.setWindow(scan.windows[0]);
  }

  /** Show planes from a source, see `Slices`, and a second mask if they have one; `second` tells of that, or is null. */
  show(source, second) {
    this.panes[0].rail.setDiffering(second?.differing_pixels_per_slice ?? []);
    byId("second-shown").hidden = second === null;
    byId("second-mask").checked = byId("differences").checked = true;
    fillLegend(this.scan.regions, this.masks, second !== null);
    this.slices?.close();
    this.slices = new Slices(this.planes, source, {
      onLoad: (plane, index) => this.paneOf(plane).index === index && this.refresh(),
      onFail: (why) => {
        this.panes.forEach((pane) => {
          pane.waiting = why;
        });
        this.refresh();
      },
    });
    this.lookAt(this.voxel);
  }

  close() {
    this.listeners.abort();
    this.sizes.disconnect();
    this.slices?.close();
  }

  /** Look at an axial slice, by its index. */
  goToSlice(index) {
    this.goTo(this.panes[0], index);
  }

  paneCalls() {
    let tool = null;
    return {
      activate: (pane) => this.activate(pane),
      enlarge: (pane) => this.enlarge(this.large === pane ? null : pane),
      goTo: (pane, index) => this.goTo(pane, index),
      zoomed: () => this.refresh(),
      begin: (pane, point, button) => {
        // The right button sets the gray window and the middle one moves, whatever tool is chosen.
        const others = button === MIDDLE_BUTTON ? this.tools.move : this.tools.window;
        tool = button === LEFT_BUTTON ? this.tool : others;
        tool.begin(pane, point);
      },
      drag: (pane, point, by) => tool.drag(pane, point, by),
      end: (pane) => tool.end(pane),
      cancel: () => tool.cancel(),
    };
  }

  paneOf(plane) {
    return this.panes.find((pane) => pane.plane === plane);
  }

  /** The pane that keys act on. */
  activate(pane) {
    this.active = pane;
    for (const other of this.panes) {
      other.element.classList.toggle("active", other === pane);
    }
  }

  /** Show one pane alone, or with null all of them. */
  enlarge(pane) {
    this.large = pane;
    for (const other of this.panes) {
      other.element.hidden = pane !== null && other !== pane;
      other.large.setAttribute("aria-pressed", String(other === pane));
    }
    byId("stage").classList.toggle("alone", pane !== null);
    this.panes.forEach((other) => other.resized());
    if (pane !== null) {
      this.activate(pane);
    }
    this.refresh();
  }

  /** Let the planes cross in a voxel. */
  lookAt(voxel) {
    this.voxel = voxel;
    for (const pane of this.panes) {
      pane.show(voxel);
      pane.view.reveal(pane.plane.toPicture(voxel), ...pane.size);
    }
    this.slices.look(this.panes.map((pane) => [pane.plane, pane.index]));
    this.refresh();
  }

  /** Look at another plane of a pane; beyond the ends, at the last. */
  goTo({ plane }, index) {
    this.lookAt(this.voxel.with(plane.along, clamp(index, plane.count)));
  }

  setWindow(window) {
    this.window = { ...window, width: Math.max(window.width, Number.EPSILON) };
    this.table = grayTable(this.scan.value_scale, this.window);
    const index = this.scan.windows.findIndex(
      ({ level, width }) => level === this.window.level && width === this.window.width,
    );
    document.querySelectorAll("#windows input").forEach((choice, number) => {
      choice.checked = number === index;
    });
    this.refresh();
  }

  /** Let a drag do what the tool of a name does. */
  setTool(name) {
    this.tool = this.tools[name];
    byId("stage").dataset.tool = name;
  }

  /** Zoom the active pane about the cross-hair. */
  zoom(factor) {
    const pane = this.active;
    pane.zoomBy(factor, pane.canvasAt(pane.plane.toPicture(this.voxel)));
  }

  /** All planes whole. */
  reset() {
    this.panes.forEach((pane) => pane.view.reset());
    this.refresh();
  }

  goToLesion(by) {
    byId("told").textContent = this.lesions.go(by);
  }

  /** Draw at the browser's next frame. */
  refresh() {
    if (!this.pending) {
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        if (!this.listeners.signal.aborted) {
          this.panes.forEach((pane) => this.draw(pane));
          this.tellPlace();
        }
      });
    }
  }

  draw(pane) {
    if (pane.element.hidden) {
      return;
    }
    const image = this.slices.get(pane.plane, pane.index);
    if (image === undefined) {
      pane.wait();
      return;
    }
    pane.draw(image, {
      table: this.table,
      window: this.scan.modality === null ? null : this.window,
      ...overlays(),
      crosshair: pane.plane.toPicture(this.voxel),
      lesion: this.lesionIn(pane),
      measures: this.measures.on(pane),
    });
  }

  /** The chosen lesion, where the plane of a pane meets it. */
  lesionIn({ plane, index }) {
    if (this.lesion === null) {
      return null;
    }
    const away = Math.abs(index - this.lesion.voxel[plane.along]) * plane.stepMm;
    return away === 0 || away <= this.lesion.radiusMm ? this.lesion : null;
  }

  /** Where the cross-hair is, and the value there. */
  tellPlace() {
    const [pane] = this.panes;
    const image = this.slices.get(pane.plane, pane.index);
    const number = image?.values[this.voxel[1] * pane.plane.nColumns + this.voxel[2]];
    const place = document.createElement("b");
    place.textContent = `${worldOf(this.scan, this.voxel).join("  ")} mm`;
    const value = document.createElement("span");
    if (number !== undefined && this.scan.modality !== null) {
      const { slope, intercept } = this.scan.value_scale;
      const unit = this.scan.modality === "ct" ? " HU" : "";
      value.textContent = `${Number((slope * number + intercept).toPrecision(4))}${unit}`;
    }
    byId("place").replaceChildren(place, " ", value);
  }
}
