// What fingers, pens, a mouse and its wheel do on a canvas; points are `[x, y]` in CSS pixels.

const WHEEL_STEP = 60;
const LINE_PX = 20;
const ZOOM_PER_PX = 1 / 300;

/**
 * Call the methods of `on`, until `signal` aborts: `begin(point, button)`, `drag(point, by)` and `end()` of one
 * pointer, `cancel()` when a second finger joins it, `pinch(factor, by, point)` of two, `step(slices)` of the
 * wheel, and `zoom(factor, point)` of the wheel with a modifier, which a pinch on a touch pad is too.
 */
export function listen(canvas, on, signal) {
  const pointers = new Map();
  let [leads, wheel] = [false, 0];
  const add = (type, handle) => canvas.addEventListener(type, handle, { signal, passive: false });

  add("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, pointOf(event));
    if (pointers.size === 1) {
      leads = true;
      on.begin(pointOf(event), event.button);
    } else if (leads) {
      leads = false;
      on.cancel();
    }
  });
  add("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined) {
      return;
    }
    const [old, point] = [span(pointers), pointOf(event)];
    pointers.set(event.pointerId, point);
    if (pointers.size === 2) {
      const now = span(pointers);
      on.pinch(now.length / Math.max(1, old.length), minus(now.middle, old.middle), now.middle);
    } else if (leads) {
      on.drag(point, minus(point, before));
    }
  });
  const lift = (ends) => (event) => {
    if (pointers.delete(event.pointerId) && leads) {
      leads = false;
      on[ends]();
    }
  };
  add("pointerup", lift("end"));
  add("pointercancel", lift("cancel"));
  add("contextmenu", (event) => event.preventDefault());
  add("wheel", (event) => {
    event.preventDefault();
    const down = event.deltaMode === 1 ? event.deltaY * LINE_PX : event.deltaY;
    if (event.ctrlKey || event.metaKey) {
      on.zoom(Math.exp(-down * ZOOM_PER_PX), pointOf(event));
      return;
    }
    wheel += down;
    const steps = Math.trunc(wheel / WHEEL_STEP);
    if (steps !== 0) {
      // A notch of a wheel is one slice, however far a browser says that it scrolls.
      on.step(-(Math.abs(steps) <= 2 ? Math.sign(steps) : Math.trunc(steps / 2)));
      wheel = 0;
    }
  });
}

function pointOf(event) {
  return [event.offsetX, event.offsetY];
}

/** Middle of and distance between the first two pointers. */
function span(pointers) {
  const [a, b = a] = [...pointers.values()];
  return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], length: Math.hypot(a[0] - b[0], a[1] - b[1]) };
}

function minus(a, b) {
  return [a[0] - b[0], a[1] - b[1]];
}
