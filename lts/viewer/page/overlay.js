// What is drawn over a plane, in CSS pixels: the cross-hair, marks, measures, letters and a scale.

import { ellipse } from "./measures.js";

const CROSSHAIR = "rgb(86 180 233 / 85%)";
const MEASURE = "#7CF5B0";
const GAP = 14;
const SCALES_MM = [100, 50, 20, 10, 5, 2, 1];
const EDGE = 10;
const NARROW = 300;
const FONT = '"Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

export function stroke(context, path, color, width) {
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke(path);
}

/** Two lines that leave their crossing free. */
export function drawCrosshair(context, [x, y], width, height) {
  const lines = new Path2D();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - GAP, y],
    [x + GAP, y, width, y],
    [x, 0, x, y - GAP],
    [x, y + GAP, x, height],
  ]) {
    if (x1 > x0 || y1 > y0) {
      lines.moveTo(x0, y0);
      lines.lineTo(x1, y1);
    }
  }
  stroke(context, lines, CROSSHAIR, 1);
}

/** A ring around a lesion, with its number. */
export function drawRing(context, [x, y], radius, number) {
  const around = radius + 6;
  const ring = new Path2D();
  ring.arc(x, y, around, 0, 2 * Math.PI);
  stroke(context, ring, "rgb(0 0 0 / 55%)", 3);
  context.setLineDash([4, 4]);
  stroke(context, ring, "rgb(255 255 255 / 90%)", 1.2);
  context.setLineDash([]);
  write(context, String(number), x + 0.75 * around + 6, y - 0.75 * around - 2, { size: 13 });
}

/** A measure `{kind, number, label, selected}` between the corners or ends `a` and `b`. */
export function drawMeasure(context, { kind, number, label, selected }, [a, b], width, height) {
  const shape = new Path2D();
  if (kind === "distance") {
    shape.moveTo(...a);
    shape.lineTo(...b);
  } else {
    const { column, row, columns, rows } = ellipse(a, b);
    shape.ellipse(column, row, columns, rows, 0, 0, 2 * Math.PI);
  }
  stroke(context, shape, "rgb(0 0 0 / 60%)", 3.5);
  stroke(context, shape, MEASURE, 1.6);
  for (const [x, y] of selected || kind === "distance" ? [a, b] : []) {
    const end = new Path2D();
    end.arc(x, y, selected ? 4 : 2.5, 0, 2 * Math.PI);
    context.fillStyle = MEASURE;
    context.fill(end);
  }
  // Its text is on a ground of its own, and on the canvas wherever the measure is.
  const text = `${number}: ${label}`;
  context.font = fontOf({ size: 12.5 });
  const wide = context.measureText(text).width;
  const x = Math.max(EDGE, Math.min(Math.max(a[0], b[0]) + 8, width - EDGE - wide));
  const y = Math.max(EDGE, Math.min(Math.max(a[1], b[1]) + 12, height - EDGE));
  context.fillStyle = "rgb(0 0 0 / 65%)";
  context.fillRect(x - 4, y - 9, wide + 8, 18);
  write(context, text, x, y, { size: 12.5, color: MEASURE });
}

/** Sides of the body, the gray window if there is one and room for it, and a scale. */
export function drawEdges(context, { letters, window, perMm, width, height }) {
  const bold = { size: 16, weight: 700, align: "center" };
  write(context, letters.left, EDGE + 4, height / 2, bold);
  write(context, letters.right, width - EDGE - 4, height / 2, bold);
  write(context, letters.top, width / 2, EDGE + 6, bold);
  write(context, letters.bottom, width / 2, height - EDGE - 6, bold);
  if (window !== null && width > NARROW) {
    const told = `W ${shown(window.width)}  L ${shown(window.level)}`;
    write(context, told, EDGE, height - EDGE - 4, { size: 12.5 });
  }
  const mm = SCALES_MM.find((length) => length * perMm <= width / 4);
  if (mm !== undefined) {
    const end = width - EDGE;
    const bar = new Path2D();
    bar.rect(end - mm * perMm, height - EDGE - 2, mm * perMm, 2);
    stroke(context, bar, "#000", 3);
    context.fillStyle = "#fff";
    context.fill(bar);
    write(context, `${mm} mm`, end, height - EDGE - 13, { size: 12.5, align: "right" });
  }
}

function write(context, text, x, y, { size, weight = 500, align = "left", color = "#fff" }) {
  context.font = fontOf({ size, weight });
  context.textAlign = align;
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.strokeStyle = "#000";
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillStyle = color;
  context.fillText(text, x, y);
}

function fontOf({ size, weight = 500 }) {
  return `${weight} ${size}px ${FONT}`;
}

function shown(value) {
  return Math.abs(value) >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3);
}
