// In the panel: how far two masks agree, by region, and where they differ most.

import { amount, element } from "./panel.js";

const byId = (id) => document.getElementById(id);

/** `onGo(index)` is called to look at an axial slice, which `numberOf(index)` names. */
export class Comparison {
  constructor({ onGo, numberOf, signal }) {
    this.numberOf = numberOf;
    byId("second-differing").addEventListener("click", () => onGo(this.mostDiffering), { signal });
  }

  /** Tell of a second mask `{name, regions, notes, differing_pixels_per_slice}`. */
  show({ name, regions, notes, differing_pixels_per_slice: pixels }) {
    byId("second-name").textContent = name;
    byId("second-scores").replaceChildren(...regions.map(row));
    byId("second-notes").replaceChildren(...notes.map((note) => element("li", note)));
    const [sum, most] = [pixels.reduce((a, b) => a + b, 0), Math.max(...pixels)];
    this.mostDiffering = pixels.indexOf(most);
    byId("second-sum").textContent =
      sum === 0 ? "The masks are the same." : `${sum} voxel${sum === 1 ? " differs" : "s differ"}.`;
    byId("second-differing").hidden = sum === 0;
    byId("second-differing").textContent = `Most in slice ${this.numberOf(this.mostDiffering)}`;
  }
}

/** Dice and volumes of a region. */
function row({ region, dice, own_ml: own, second_ml: other }) {
  const [made, name] = [element("tr"), element("th", region)];
  name.scope = "row";
  made.dataset.region = region;
  const score = element("td", dice === null ? "not defined" : dice.toFixed(3));
  if (dice === null) {
    score.title = `Neither mask has a ${region}`;
  }
  made.append(name, score, element("td", amount(own)), element("td", amount(other)));
  return made;
}
