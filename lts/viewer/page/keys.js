// The keyboard: all that a mouse does in the viewer.

const PAGE = 10;
const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
const STEPS = { ArrowUp: 1, ArrowDown: -1, PageUp: PAGE, PageDown: -PAGE, Home: -Infinity, End: Infinity };
// Keys that press something which has a name on the page too.
const PRESSES = {
  c: "#contours", f: "#fill", h: "#lines", r: "#reset", "+": "#zoom-in", "=": "#zoom-in", "-": "#zoom-out",
  n: "#next", p: "#previous", s: "#second-mask", e: "#differences",
  x: "#tools [value=crosshair]", w: "#tools [value=window]", m: "#tools [value=move]",
  d: "#tools [value=distance]", a: "#tools [value=area]",
};

/** Let the keys of the page act on a viewer until `signal` aborts. */
export function listenToKeys(viewer, signal) {
  document.addEventListener("keydown", (event) => onKey(viewer, event), { signal });
}

function onKey(viewer, event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.type === "number") {
    return;
  }
  const pane = viewer.active;
  const hasArrows = target.type === "radio" || target.type === "range";
  if (event.shiftKey && key in ARROWS) {
    viewer.tool.nudge(pane, ARROWS[key]);
  } else if (key in STEPS && !hasArrows) {
    // Home is the lowest slice of an axial plane, the back of a coronal and the left of a sagittal one.
    pane.step(STEPS[key]);
  } else if (key === "Enter" && target === pane.canvas) {
    viewer.tool.start(pane);
  } else if (key === "Delete" || key === "Backspace") {
    viewer.measures.removeSelected();
  } else if (key.toLowerCase() in PRESSES) {
    document.querySelector(PRESSES[key.toLowerCase()]).click();
  } else if (key.toLowerCase() === "l") {
    viewer.enlarge(viewer.large === pane ? null : pane);
  } else if (key >= "1" && key <= "9") {
    document.querySelectorAll("#windows input")[Number(key) - 1]?.click();
  } else {
    return;
  }
  event.preventDefault();
}
