// The list of lesions: those of a least volume, and the way from one to the next.

import { amount, element } from "./panel.js";

const byId = (id) => document.getElementById(id);

export class Lesions {
  /**
   * `onChoose({number, voxel, radiusMm})` is called when one is chosen; `whyNone` is told where there is none, and
   * `numberOf(index)` is what an axial slice is called.
   */
  constructor(scan, { onChoose, whyNone, numberOf, signal }) {
    [this.onChoose, this.whyNone, this.numberOf] = [onChoose, whyNone, numberOf];
    this.all = (scan.lesions ?? []).map((lesion, index) => ({
      number: index + 1,
      told: lesion.told ?? "",
      volumeMl: lesion.volume_ml,
      diameterMm: lesion.diameter_mm,
      radiusMm: lesion.diameter_mm / 2,
      voxel: lesion.center_zhw.map(Math.round).with(0, lesion.slice_from_feet),
    }));
    this.chosen = null;
    this.panel = byId("lesions").closest(".panel");
    byId("least").value = "0";
    byId("least-box").hidden = this.all.length === 0;
    byId("least").addEventListener("input", () => this.show(), { signal });
    this.show();
  }

  /** The lesions of the least volume, and the sentence to tell where there is none. */
  get listed() {
    const least = byId("least").valueAsNumber;
    if (this.all.length === 0) {
      return { lesions: [], why: this.whyNone };
    }
    if (!(least >= 0)) {
      return { lesions: [], why: "The least volume must be a number of ml, 0 or more." };
    }
    const lesions = this.all.filter(({ volumeMl }) => volumeMl >= least);
    return { lesions, why: lesions.length > 0 ? "" : `No lesion has ${least} ml or more.` };
  }

  show() {
    const { lesions, why } = this.listed;
    const of = lesions.length < this.all.length ? ` of ${this.all.length}` : "";
    byId("lesions-title").textContent = this.all.length > 0 ? `Lesions (${lesions.length}${of})` : "Lesions";
    byId("no-lesions").hidden = why === "";
    byId("no-lesions").textContent = why;
    byId("lesions").replaceChildren(...lesions.map((lesion) => this.entry(lesion)));
  }

  entry(lesion) {
    const { number, told, volumeMl, diameterMm, voxel } = lesion;
    const slice = `slice ${this.numberOf(voxel[0])}`;
    const button = element("button");
    button.type = "button";
    const [diameter, volume] = [element("span", diameterMm.toFixed(1)), element("span", amount(volumeMl))];
    diameter.append(" ", element("small", "mm"));
    volume.append(" ", element("small", "ml"));
    button.append(element("span", String(number), "number"), diameter, volume, element("span", slice, "at"));
    if (told !== "") {
      button.append(element("span", told, "told"));
    }
    button.setAttribute(
      "aria-label",
      `Lesion ${number}${told && `, ${told}`}: diameter ${diameterMm.toFixed(1)} mm, ` +
        `volume ${amount(volumeMl)} ml, go to ${slice}`,
    );
    button.setAttribute("aria-current", String(lesion === this.chosen));
    button.addEventListener("click", () => this.choose(lesion));
    const entry = element("li");
    entry.append(button);
    return entry;
  }

  choose(lesion) {
    this.chosen = lesion;
    this.listed.lesions.forEach((other, index) => {
      const entry = byId("lesions").children[index];
      entry.firstElementChild.setAttribute("aria-current", String(other === lesion));
      // A panel that scrolls by itself follows; a narrow page would leave the picture.
      if (other === lesion && this.panel.scrollHeight > this.panel.clientHeight) {
        entry.scrollIntoView({ block: "nearest" });
      }
    });
    this.onChoose(lesion);
  }

  /** Choose the one of a number, if there is one. */
  chooseNumber(number) {
    const lesion = this.all[number - 1];
    if (lesion !== undefined) {
      this.choose(lesion);
    }
  }

  /** Go on by so many, around the ends; returns a sentence where there is none to go to. */
  go(by) {
    const { lesions, why } = this.listed;
    if (lesions.length > 0) {
      const from = lesions.indexOf(this.chosen);
      const to = from < 0 ? (by > 0 ? 0 : -1) : (from + by) % lesions.length;
      this.choose(lesions.at(to));
    }
    return why;
  }
}
