// One plane on a canvas: gray values and the mask, then what is drawn over them.

import { outline } from "./contours.js";
import { drawCrosshair, drawEdges, drawMeasure, drawRing, stroke } from "./overlay.js";

export const COLORS = { liver: "#F0E442", tumor: "#FF6A13" };
const MIN_LABELS = { liver: 1, tumor: 2 };

/** Gray values of all stored numbers in a window; `scale` gives the numbers their meaning. */
export function grayTable(scale, { level, width }) {
  const table = new Uint8ClampedArray(65536);
  for (let number = -32768; number < 32768; number += 1) {
    const value = scale.slope * number + scale.intercept;
    table[number + 32768] = 255 * ((value - level) / width + 0.5);
  }
  return table;
}

/** The regions of a loaded plane, from the liver to the tumor in it. */
export function regionsIn(image, regions) {
  image.highest ??= image.labels.reduce((a, b) => Math.max(a, b), 0);
  return regions.filter((region) => MIN_LABELS[region] <= image.highest);
}

export class Drawing {
  constructor(canvas, plane, regions) {
    [this.canvas, this.plane, this.regions] = [canvas, plane, regions];
    this.context = canvas.getContext("2d", { alpha: false });
    this.gray = document.createElement("canvas");
    [this.gray.height, this.gray.width] = [plane.nRows, plane.nColumns];
    this.pixels = this.gray.getContext("2d").createImageData(plane.nColumns, plane.nRows);
    this.pixels.data.fill(255);
    this.painted = [];
  }

  /**
   * Draw `image` where `view` says.
   *
   * `table` and `window` are the gray window, `contours`, `fill` with `opacity` and `lines` say what is drawn,
   * `crosshair` is a point of the picture, `lesion` one to mark or null, and `measures` those of this plane.
   */
  draw(image, view, { table, window, contours, fill, opacity, lines, crosshair, lesion, measures }) {
    const ratio = globalThis.devicePixelRatio || 1;
    const { canvas, context } = this;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const place = view.place(canvas.width, canvas.height);
    this.paint(image, table, fill ? opacity : 0);
    context.imageSmoothingQuality = "high";
    const width = this.gray.width * place.perColumn;
    context.drawImage(this.gray, place.x, place.y, width, this.gray.height * place.perRow);
    if (contours) {
      this.drawContours(image, place, ratio);
    }
    // From here on in CSS pixels.
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [wide, high] = [canvas.width / ratio, canvas.height / ratio];
    const shown = view.place(wide, high);
    const at = ([column, row]) => [shown.x + column * shown.perColumn, shown.y + row * shown.perRow];
    if (lines) {
      drawCrosshair(context, at(crosshair), wide, high);
    }
    if (lesion) {
      drawRing(context, at(this.plane.toPicture(lesion.voxel)), lesion.radiusMm * shown.perMm, lesion.number);
    }
    for (const measure of measures) {
      drawMeasure(context, measure, measure.points.map(at), wide, high);
    }
    drawEdges(context, { letters: this.plane.letters, window, perMm: shown.perMm, width: wide, height: high });
  }

  /** Gray values, tinted where the mask is filled; kept until one of them changes. */
  paint(image, table, opacity) {
    const wanted = [image, table, opacity];
    if (wanted.every((one, index) => one === this.painted[index])) {
      return;
    }
    this.painted = wanted;
    const { data } = this.pixels;
    const tints = tintsOf(this.regions, opacity);
    const { values, labels } = image;
    for (let index = 0; index < values.length; index += 1) {
      const gray = table[values[index] + 32768];
      const { keep, color } = tints[labels[index]];
      data[4 * index] = keep * gray + color[0];
      data[4 * index + 1] = keep * gray + color[1];
      data[4 * index + 2] = keep * gray + color[2];
    }
    this.gray.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  drawContours(image, place, ratio) {
    image.outlines ??= new Map(this.regions.map((region) => [region, this.outlineOf(image, region)]));
    this.context.lineCap = "round";
    for (const [region, path] of image.outlines) {
      const placed = new Path2D();
      placed.addPath(path, new DOMMatrix([place.perColumn, 0, 0, place.perRow, place.x, place.y]));
      stroke(this.context, placed, "rgb(0 0 0 / 50%)", 3.4 * ratio);
      stroke(this.context, placed, COLORS[region], 2 * ratio);
    }
  }

  outlineOf(image, region) {
    const segments = outline(image.labels, this.plane.nRows, this.plane.nColumns, MIN_LABELS[region]);
    const path = new Path2D();
    for (let index = 0; index < segments.length; index += 4) {
      path.moveTo(segments[index], segments[index + 1]);
      path.lineTo(segments[index + 2], segments[index + 3]);
    }
    return path;
  }
}

/** By label: the share of gray that is kept, and what is added to it. */
function tintsOf(regions, opacity) {
  const tints = [0, 1, 2].map(() => ({ keep: 1, color: [0, 0, 0] }));
  for (const region of regions) {
    for (let label = MIN_LABELS[region]; label < tints.length; label += 1) {
      const channels = [1, 3, 5].map((from) => Number.parseInt(COLORS[region].slice(from, from + 2), 16));
      tints[label] = { keep: 1 - opacity, color: channels.map((channel) => opacity * channel) };
    }
  }
  return tints;
}
