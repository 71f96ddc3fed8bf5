// A scored case, opened from a file: the prediction, beside it the reference, and the lesion that is asked for.

import { Comparison } from "../page/comparison.js";
import { fillFacts, fillNotes, fillWindows } from "../page/panel.js";
import { Viewer } from "../page/viewer.js";
import { Embedded } from "./embedded.js";

// As in the pictures of a report.
const MASKS = { first: "prediction", second: "reference", dashed: "first" };

const byId = (id) => document.getElementById(id);
const scan = JSON.parse(byId("scan").textContent);

function whyNoLesion({ regions }) {
  return regions.includes("tumor") ? "Neither mask has a tumor." : "The tumor was not scored.";
}

byId("case").textContent = scan.case;
fillNotes(scan.notes);
fillFacts(scan, []);
// Without a scan there are no grays to choose.
const hasScan = scan.modality !== null;
fillWindows(hasScan ? scan.windows : [], (window) => viewer.setWindow(window));
byId("windows").hidden = !hasScan;
const windowTool = document.querySelector("#tools [value=window]");
windowTool.disabled = windowTool.parentElement.hidden = !hasScan;
const viewer = new Viewer(scan, { masks: MASKS, whyNoLesion: whyNoLesion(scan) });
const comparison = new Comparison({
  onGo: (index) => viewer.goToSlice(index),
  numberOf: (index) => viewer.planes[0].numberOf(index),
  signal: viewer.listeners.signal,
});
comparison.show({ ...scan, name: "", regions: scan.scores, notes: [] });
viewer.show(new Embedded(scan), scan);

function goToLesion() {
  const asked = new URLSearchParams(location.hash.slice(1)).get("lesion");
  if (asked !== null) {
    viewer.lesions.chooseNumber(Number(asked));
  }
}
addEventListener("hashchange", goToLesion);
goToLesion();
byId("axial").focus();
