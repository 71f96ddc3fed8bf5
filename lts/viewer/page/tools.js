// What a drag does, and the arrow keys with Shift in its place.

import { clamp } from "./planes.js";

const DRAG_SHARE = 1 / 250;
const NUDGE_PX = 20;
const GRAB_PX = 12;
const LEAST_PX = 3;

/**
 * The tools of a viewer by their names. Each has `begin(pane, point)`, `drag(pane, point, by)`, `end(pane)` and
 * `cancel()` for a pointer; for keys, `nudge(pane, by)` by one step to the right or down, and `start(pane)`.
 */
export function makeTools(viewer) {
  return {
    crosshair: { ...NOTHING, ...crosshair(viewer) },
    window: { ...NOTHING, ...grayWindow(viewer) },
    move: { ...NOTHING, ...MOVE },
    distance: measuring(viewer, "distance"),
    area: measuring(viewer, "area"),
  };
}

const NOTHING = { begin() {}, drag() {}, end() {}, cancel() {}, nudge() {}, start() {} };

const MOVE = {
  drag: (pane, _point, by) => pane.moveBy(by),
  nudge: (pane, [across, down]) => pane.moveBy([across * NUDGE_PX, down * NUDGE_PX]),
};

function crosshair(viewer) {
  const to = (pane, point) => viewer.lookAt(pane.plane.toVoxel(pane.pictureAt(point), pane.index));
  let before = null;
  return {
    begin: (pane, point) => {
      before = viewer.voxel;
      to(pane, point);
    },
    drag: to,
    cancel: () => viewer.lookAt(before),
    nudge: ({ plane }, [across, down]) => {
      const voxel = [...viewer.voxel];
      voxel[plane.columns] = clamp(voxel[plane.columns] + across, plane.nColumns);
      voxel[plane.rows] = clamp(voxel[plane.rows] + (plane.headIsAbove ? -down : down), plane.nRows);
      viewer.lookAt(voxel);
    },
  };
}

function grayWindow(viewer) {
  const change = ([across, down]) => {
    const { level, width } = viewer.window;
    viewer.setWindow({
      width: width * Math.exp(2 * across * DRAG_SHARE),
      level: level - down * width * DRAG_SHARE,
    });
  };
  return {
    drag: (_pane, _point, by) => change(by),
    nudge: (_pane, [across, down]) => change([across * NUDGE_PX, down * NUDGE_PX]),
  };
}

/** Draws a measure from a point to another, or moves an end of one that is there. */
function measuring(viewer, kind) {
  const { measures } = viewer;
  let held = null; // {measure, end, isNew}, null also while the picture is not here
  const grab = (pane, at) =>
    measures
      .on(pane)
      .flatMap((measure) => [0, 1].map((end) => ({ measure, end, isNew: false })))
      .find(({ measure, end }) => pane.pixelsBetween(measure.points[end], at) < GRAB_PX);
  const draw = (pane, at) => ({ measure: measures.add(kind, pane, [at, at]), end: 1, isNew: true });
  return {
    begin: (pane, point) => {
      const at = pane.pictureAt(point);
      held = pane.image === null ? null : (grab(pane, at) ?? draw(pane, at));
      if (held !== null) {
        measures.select(held.measure);
      }
    },
    drag: (pane, point) => {
      if (held !== null) {
        measures.move(held.measure, held.end, pane.pictureAt(point));
      }
    },
    end: (pane) => {
      // A click measures nothing; one on a measure that looks short from here leaves it.
      if (held?.isNew && pane.pixelsBetween(...held.measure.points) < LEAST_PX) {
        measures.remove(held.measure);
      }
    },
    cancel: () => {
      if (held?.isNew) {
        measures.remove(held.measure);
      }
    },
    start: (pane) => {
      if (pane.image !== null) {
        measures.select(draw(pane, pane.plane.toPicture(viewer.voxel)).measure);
      }
    },
    nudge: (pane, [across, down]) => {
      const measure = measures.selected;
      if (measures.on(pane).includes(measure)) {
        const [column, row] = measure.points[1];
        measures.move(measure, 1, [column + across, row + down]);
      }
    },
  };
}
