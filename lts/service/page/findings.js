// The panel of a segmented scan: what was found, and what can be downloaded.

import { amount, element, fillFacts, fillNotes, fillWindows } from "./panel.js";

const byId = (id) => document.getElementById(id);

/** Fill the panel and the choice of gray windows; `onWindow(window)` is called with the one that is chosen. */
export function fillPanel(scan, { onWindow }) {
  byId("case").textContent = scan.case;
  byId("download").href = scan.links.mask;
  byId("lesion-table").href = scan.links.lesions;
  byId("lesion-table").hidden = (scan.lesions ?? []).length === 0;
  fillDicom(scan.links);
  fillVolumes(scan);
  fillNotes(scan.notes);
  fillFacts(scan, [["Computed in", `${scan.seconds.toFixed(1)} s`]]);
  fillWindows(scan.windows, onWindow);
}

/** The DICOM objects of a series; other scans have none. */
function fillDicom(links) {
  const choices = Array.from(byId("dicom").querySelectorAll("a"));
  for (const choice of choices) {
    const link = links[choice.dataset.link];
    choice.hidden = link === undefined;
    choice.href = link ?? "";
  }
  byId("dicom").hidden = choices.every((choice) => choice.hidden);
}

function fillVolumes(scan) {
  const rows = [
    ["Liver", scan.liver_ml, "ml", "liver"],
    ["Tumor", scan.tumor_ml, "ml", "tumor"],
    ["Tumor burden", scan.tumor_burden === null ? null : 100 * scan.tumor_burden, "%", ""],
  ].filter(([, value]) => value !== null && value !== undefined && !Number.isNaN(value));
  byId("volumes").replaceChildren(
    ...rows.map(([label, value, unit, region]) => {
      const [row, name, told] = [element("div"), element("dt", label), element("dd", amount(value))];
      row.dataset.region = region;
      name.classList.toggle("plain", region === "");
      told.append(" ", element("small", unit));
      row.append(name, told);
      return row;
    }),
  );
}
