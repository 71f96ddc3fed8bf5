// From a file to the viewer, and back.

import { fillPanel } from "./findings.js";
import { Second } from "./second.js";
import { Served } from "./served.js";
import { excessOf, explain, MIB, upload } from "./upload.js";
import { Viewer } from "./viewer.js";

const PHASES = {
  receiving: "Uploading",
  checking: "Checking the file",
  waiting: "Waiting for the model",
  predicting: "Predicting",
};
const MASKS = { first: "", second: "second mask", dashed: "second" };
const STEP_OF = { receiving: 0, checking: 0, waiting: 1, predicting: 2 };

const byId = (id) => document.getElementById(id);
let running = null;
let viewer = null;
let second = null;
let shown = null;
let lastFile = null;
let maxUploadMib = Infinity;

function enter(state) {
  document.body.dataset.state = state;
}

function start() {
  viewer?.close();
  viewer = null;
  if (shown !== null) {
    fetch(shown.links.self, { method: "DELETE" }).catch(() => {});
    shown = null;
  }
  history.replaceState(null, "", location.pathname);
  document.title = "lts";
  enter("start");
}

function complain({ title, detail, again }) {
  enter("start");
  byId("problem-title").textContent = title;
  byId("problem-detail").textContent = detail;
  byId("again").hidden = !again || lastFile === null;
  byId("problem").hidden = false;
}

function send(file) {
  lastFile = file;
  byId("problem").hidden = true;
  const excess = excessOf(file, maxUploadMib);
  if (excess !== "") {
    complain(explain(413, excess));
    return;
  }
  byId("busy-title").textContent = file.name;
  showProgress({ phase: "receiving", done: 0, total: file.size, ahead: 0 });
  enter("busy");
  byId("cancel").focus();
  running = upload(file, { onProgress: showProgress, onDone: open, onProblem: complain });
}

function showProgress({ phase, done, total, ahead }) {
  const bar = byId("progress");
  if (total > 0) {
    bar.value = done / total;
  } else {
    bar.removeAttribute("value");
  }
  // A screen reader speaks when the phase changes, not at every percent.
  if (byId("phase").textContent !== PHASES[phase]) {
    byId("phase").textContent = PHASES[phase];
  }
  byId("amount").textContent = describe(phase, done, total, ahead);
  Array.from(byId("steps").children).forEach((step, index) => {
    step.classList.toggle("past", index < STEP_OF[phase]);
    step.classList.toggle("current", index === STEP_OF[phase]);
  });
}

function describe(phase, done, total, ahead) {
  if (phase === "receiving") {
    return `${(done / MIB).toFixed(1)} of ${(total / MIB).toFixed(1)} MiB`;
  }
  if (phase === "predicting" && total > 0) {
    return `slice ${done} of ${total}`;
  }
  return phase === "waiting" && ahead > 0 ? `behind ${ahead} other${ahead > 1 ? "s" : ""}` : "";
}

function open(scan) {
  shown = scan;
  enter("viewer");
  document.title = `${scan.case} \u00b7 lts`;
  history.replaceState(null, "", `#${scan.id}`);
  fillPanel(scan, { onWindow: (window) => viewer.setWindow(window) });
  viewer?.close();
  viewer = new Viewer(scan, { masks: MASKS, whyNoLesion: whyNoLesion(scan) });
  second = new Second(scan, {
    onChange: (told) => viewer.show(new Served((told ?? scan).links, told === null ? 1 : 2), told),
    onGo: (index) => viewer.goToSlice(index),
    numberOf: (index) => viewer.planes[0].numberOf(index),
    mostMib: () => maxUploadMib,
    signal: viewer.listeners.signal,
  });
  byId("axial").focus();
}

function whyNoLesion({ regions, liver_ml: liverMl }) {
  if (!regions.includes("tumor")) {
    return "The model does not look for tumors.";
  }
  return liverMl === 0 ? "No liver and no tumor was found." : "No tumor was found.";
}

async function reopen(id) {
  try {
    const answer = await fetch(`scans/${encodeURIComponent(id)}`);
    const told = await answer.json();
    if (answer.ok) {
      open(told);
    } else {
      complain(explain(answer.status, told.detail));
    }
  } catch {
    complain(explain(0));
  }
}

async function greet() {
  try {
    const takes = await (await fetch("ready")).json();
    if (takes.max_upload_mib !== undefined) {
      maxUploadMib = takes.max_upload_mib;
      const modality = takes.modality === "mr" ? "MR" : "CT";
      byId("takes").textContent =
        `This model reads ${modality} and finds ${takes.regions.join(" and ")}. ` +
        `Files may have up to ${maxUploadMib} MiB.`;
    }
  } catch {
    // an upload will tell
  }
}

byId("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // so that the same file can be chosen again
  if (file) {
    send(file);
  }
});
byId("cancel").addEventListener("click", () => {
  running?.abort();
  enter("start");
  byId("file").focus();
});
byId("again").addEventListener("click", () => send(lastFile));
byId("second-as-scan").addEventListener("click", () => {
  const file = second.offered;
  start();
  send(file);
});
byId("another").addEventListener("click", () => {
  start();
  byId("file").focus();
});
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", type === "dragover");
    byId("second-drop").classList.toggle("over", type === "dragover");
    const file = event.dataTransfer?.files[0];
    if (type !== "drop" || !file) {
      return;
    }
    if (document.body.dataset.state === "start") {
      send(file);
    } else if (viewer !== null && byId("second").contains(event.target)) {
      second.send(file);
    } else if (viewer !== null) {
      second.offer(file);
    }
  });
}
greet();
if (location.hash.length > 1) {
  reopen(location.hash.slice(1));
}
