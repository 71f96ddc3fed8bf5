// The measures of a scan, and their list in the panel.

import { distanceMm, measureEllipse } from "./measures.js";

const byId = (id) => document.getElementById(id);

export class Measures {
  /** `onChange()` is called when one changed, `onSelect(measure)` when one is chosen from the list. */
  constructor(scan, { onChange, onSelect }) {
    [this.scan, this.onChange, this.onSelect] = [scan, onChange, onSelect];
    [this.all, this.selected, this.last] = [[], null, 0];
    this.show();
  }

  /** Those in the plane that a pane shows. */
  on({ plane, index }) {
    return this.all.filter((measure) => measure.plane === plane && measure.index === index);
  }

  /** Begin one in the plane that a pane shows, within the picture; a point is `[column, row]`. */
  add(kind, pane, points) {
    this.last += 1;
    const { plane, index, image } = pane;
    const measure = { kind, number: this.last, plane, index, image, points: points.map((at) => within(plane, at)) };
    this.all.push(measure);
    this.update(measure);
    return measure;
  }

  /** Move one of its two points, within the picture. */
  move(measure, end, point) {
    measure.points = measure.points.with(end, within(measure.plane, point));
    this.update(measure);
  }

  remove(measure) {
    this.all = this.all.filter((other) => other !== measure);
    this.select(this.all.at(-1) ?? null);
  }

  removeSelected() {
    if (this.selected !== null) {
      this.remove(this.selected);
    }
  }

  select(measure) {
    this.selected = measure;
    for (const other of this.all) {
      other.selected = other === measure;
    }
    this.changed();
  }

  update(measure) {
    const unit = this.scan.modality === "ct" ? " HU" : "";
    const { plane, image, points } = measure;
    if (measure.kind === "distance") {
      measure.label = `${distanceMm(plane, ...points).toFixed(1)} mm`;
    } else {
      const { areaMm2, mean, deviation } = measureEllipse(plane, image, this.scan.value_scale, ...points);
      const values = mean === null ? "no pixel in it" : `${mean.toFixed(1)} \u00b1 ${deviation.toFixed(1)}${unit}`;
      measure.label = `${areaMm2.toFixed(1)} mm\u00b2${this.scan.modality === null ? "" : `, ${values}`}`;
    }
    this.changed();
  }

  changed() {
    this.show();
    this.onChange();
  }

  show() {
    byId("measures-box").hidden = this.all.length === 0;
    byId("measures").replaceChildren(...this.all.map((measure) => this.entry(measure)));
  }

  entry(measure) {
    const made = document.getElementById("measure").content.firstElementChild.cloneNode(true);
    const [go, remove] = made.querySelectorAll("button");
    const { plane, number, kind, label } = measure;
    const where = `${plane.name} ${plane.numberOf(measure.index)}`;
    go.querySelector(".number").textContent = number;
    go.querySelector(".amount").textContent = label;
    go.querySelector(".at").textContent = where;
    go.setAttribute("aria-label", `Measure ${number}: ${kind} ${label}, go to ${where}`);
    go.setAttribute("aria-current", String(measure === this.selected));
    go.addEventListener("click", () => {
      this.select(measure);
      this.onSelect(measure);
    });
    remove.setAttribute("aria-label", `Delete measure ${number}`);
    remove.addEventListener("click", () => this.remove(measure));
    return made;
  }
}

/** The point of a picture that is nearest to a point. */
function within({ nColumns, nRows }, [column, row]) {
  const between = (value, most) => Math.min(most, Math.max(0, value));
  return [between(column, nColumns), between(row, nRows)];
}
