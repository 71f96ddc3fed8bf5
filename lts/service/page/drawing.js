// One slice on a canvas: gray values, contours, sides of the body and a scale, in physical proportion.

import { outline } from "./contours.js";

export const COLORS = { liver: "#F0E442", tumor: "#FF6A13" };
export const MIN_LABELS = { liver: 1, tumor: 2 };

const SCALES_MM = [100, 50, 20, 10, 5, 2, 1];
const EDGE = 12;
const FONT = '"Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';

/** Where a slice lies on a canvas of `width` times `height` pixels: `{x, y, perColumn, perRow, perMm}`. */
export function fit(scan, width, height) {
  const [, rows, columns] = scan.shape;
  const [, rowMm, columnMm] = scan.spacing_mm;
  const perMm = Math.min(width / (columns * columnMm), height / (rows * rowMm));
  return {
    x: (width - columns * columnMm * perMm) / 2,
    y: (height - rows * rowMm * perMm) / 2,
    perColumn: columnMm * perMm,
    perRow: rowMm * perMm,
    perMm,
  };
}

/** Gray values of all stored numbers in a window; `scale` gives the numbers their meaning. */
export function grayTable(scale, { level, width }) {
  const table = new Uint8ClampedArray(65536);
  for (let number = -32768; number < 32768; number += 1) {
    const value = scale.slope * number + scale.intercept;
    table[number + 32768] = 255 * ((value - level) / width + 0.5);
  }
  return table;
}

export class Drawing {
  constructor(canvas, scan) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.scan = scan;
    this.gray = document.createElement("canvas");
    [, this.gray.height, this.gray.width] = scan.shape;
    this.pixels = this.gray.getContext("2d").createImageData(this.gray.width, this.gray.height);
    this.pixels.data.fill(255);
  }

  /** Draw `slice` in a gray window; `contours` says whether to outline regions, `lesion` which one to mark. */
  draw(slice, { table, window, contours, lesion }) {
    const ratio = globalThis.devicePixelRatio || 1;
    const { canvas, context } = this;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const place = fit(this.scan, canvas.width, canvas.height);
    this.drawGray(slice.values, table, place);
    if (contours) {
      for (const region of this.scan.regions) {
        this.drawContour(slice.labels, region, place, ratio);
      }
    }
    if (lesion) {
      this.drawMark(lesion, place, ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.write(canvas.width / ratio, canvas.height / ratio, window, place.perMm / ratio);
  }

  drawGray(values, table, place) {
    const { data } = this.pixels;
    for (let index = 0; index < values.length; index += 1) {
      const gray = table[values[index] + 32768];
      data[4 * index] = gray;
      data[4 * index + 1] = gray;
      data[4 * index + 2] = gray;
    }
    this.gray.getContext("2d").putImageData(this.pixels, 0, 0);
    this.context.imageSmoothingQuality = "high";
    const width = this.gray.width * place.perColumn;
    this.context.drawImage(this.gray, place.x, place.y, width, this.gray.height * place.perRow);
  }

  drawContour(labels, region, place, ratio) {
    const segments = outline(labels, this.gray.height, this.gray.width, MIN_LABELS[region]);
    const path = new Path2D();
    for (let index = 0; index < segments.length; index += 4) {
      const [x0, y0, x1, y1] = segments.slice(index, index + 4);
      path.moveTo(place.x + x0 * place.perColumn, place.y + y0 * place.perRow);
      path.lineTo(place.x + x1 * place.perColumn, place.y + y1 * place.perRow);
    }
    this.context.lineCap = "round";
    this.stroke(path, "rgb(0 0 0 / 50%)", 3.4 * ratio);
    this.stroke(path, COLORS[region], 2 * ratio);
  }

  drawMark({ number, row, column, radiusMm }, place, ratio) {
    const x = place.x + (column + 0.5) * place.perColumn;
    const y = place.y + (row + 0.5) * place.perRow;
    const radius = (radiusMm + 5) * place.perMm + 4 * ratio;
    const ring = new Path2D();
    ring.arc(x, y, radius, 0, 2 * Math.PI);
    this.stroke(ring, "rgb(0 0 0 / 55%)", 3 * ratio);
    this.context.setLineDash([4 * ratio, 4 * ratio]);
    this.stroke(ring, "rgb(255 255 255 / 90%)", 1.2 * ratio);
    this.context.setLineDash([]);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.text(String(number), (x + 0.75 * radius) / ratio + 6, (y - 0.75 * radius) / ratio - 2, { size: 13 });
    this.context.setTransform(1, 0, 0, 1, 0, 0);
  }

  stroke(path, color, width) {
    this.context.strokeStyle = color;
    this.context.lineWidth = width;
    this.context.stroke(path);
  }

  /** Sides of the body, window and scale along the edges; in CSS pixels. */
  write(width, height, window, perMm) {
    for (const [letter, x, y] of [
      ["R", EDGE + 4, height / 2],
      ["L", width - EDGE - 4, height / 2],
      ["A", width / 2, EDGE + 6],
      ["P", width / 2, height - EDGE - 6],
    ]) {
      this.text(letter, x, y, { size: 17, weight: 700, align: "center" });
    }
    this.text(`W ${shown(window.width)}  L ${shown(window.level)}`, EDGE, height - EDGE - 4, { size: 12.5 });
    const mm = SCALES_MM.find((length) => length * perMm <= width / 4);
    if (mm !== undefined) {
      const end = width - EDGE;
      const bar = new Path2D();
      bar.rect(end - mm * perMm, height - EDGE - 2, mm * perMm, 2);
      this.stroke(bar, "#000", 3);
      this.context.fillStyle = "#fff";
      this.context.fill(bar);
      this.text(`${mm} mm`, end - (mm * perMm) / 2, height - EDGE - 13, { size: 12.5, align: "center" });
    }
  }

  text(text, x, y, { size, weight = 500, align = "left" }) {
    const { context } = this;
    context.font = `${weight} ${size}px ${FONT}`;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.strokeStyle = "#000";
    context.lineWidth = 3;
    context.strokeText(text, x, y);
    context.fillStyle = "#fff";
    context.fillText(text, x, y);
  }
}

function shown(value) {
  return Math.abs(value) >= 10 ? String(Math.round(value)) : value.toPrecision(3);
}
