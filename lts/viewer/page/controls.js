// The controls above the planes.

const ZOOM_STEP = 1.25;

const byId = (id) => document.getElementById(id);

/** What is drawn over the scan: `{contours, fill, lines, second, differences, opacity}`, the last 0 to 1. */
export function overlays() {
  const [contours, fill, lines] = ["contours", "fill", "lines"].map((id) => byId(id).checked);
  const [second, differences] = ["second-mask", "differences"].map((id) => byId(id).checked);
  return { contours, fill, lines, second, differences, opacity: byId("opacity").valueAsNumber / 100 };
}

/** Let the controls act on a viewer until `signal` aborts; its tool becomes the one that is chosen. */
export function listenToControls(viewer, signal) {
  const on = (id, type, handle) => byId(id).addEventListener(type, handle, { signal });
  for (const id of ["contours", "fill", "lines", "second-mask", "differences"]) {
    on(id, "change", () => viewer.refresh());
  }
  on("opacity", "input", () => {
    // It would be moved for nothing where no region and no difference is tinted.
    byId("fill").checked ||= byId("second-shown").hidden || !byId("differences").checked;
    viewer.refresh();
  });
  for (const id of ["tools", "windows"]) {
    // After a click of the mouse, arrows go on through the slices.
    on(id, "click", (event) => event.detail > 0 && viewer.active.canvas.focus());
  }
  on("tools", "change", (event) => viewer.setTool(event.target.value));
  viewer.setTool(document.querySelector("#tools input:checked").value);
  on("zoom-in", "click", () => viewer.zoom(ZOOM_STEP));
  on("zoom-out", "click", () => viewer.zoom(1 / ZOOM_STEP));
  on("reset", "click", () => viewer.reset());
  on("previous", "click", () => viewer.goToLesion(-1));
  on("next", "click", () => viewer.goToLesion(1));
}
