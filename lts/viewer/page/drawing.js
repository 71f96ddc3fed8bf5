// One plane on a canvas: gray values and masks, then what is drawn over them.

import { loops, outline } from "./contours.js";
import { drawCrosshair, drawEdges, drawMeasure, drawRing, stroke } from "./overlay.js";

export const COLORS = { liver: "#F0E442", tumor: "#FF6A13" };
export const DIFFERENCE = "#E07BC0";
const SECOND_COLORS = { liver: "#56B4E9", tumor: "#00C896" };
const DASHES_PX = [6, 4];
const MIN_LABELS = { liver: 1, tumor: 2 };
const LABELS = [0, 1, 2];
const NO_TINT = { keep: 1, color: [0, 0, 0] };
const NO_SECOND = { second: false, differences: false };

/** Gray values of all stored numbers in a window; `scale` gives the numbers their meaning. */
export function grayTable(scale, { level, width }) {
  const table = new Uint8ClampedArray(65536);
  for (let number = -32768; number < 32768; number += 1) {
    const value = scale.slope * number + scale.intercept;
    table[number + 32768] = 255 * ((value - level) / width + 0.5);
  }
  return table;
}

/** What a loaded plane shows, in words: the regions of its `masks`, and how far these differ. */
export function describe(image, regions, masks) {
  const of = (name, labels) => `${name} ${withRegions(labels, regions)}`.trim();
  image.told ??= [
    of(masks.first, image.labels),
    ...(image.second === null ? [] : [of(masks.second, image.second), differing(image, regions)]),
  ].join("; ");
  return image.told;
}

function withRegions(labels, regions) {
  const highest = labels.reduce((a, b) => Math.max(a, b), 0);
  const seen = regions.filter((region) => MIN_LABELS[region] <= highest);
  return seen.length > 0 ? `with ${seen.join(" and ")}` : "without a region";
}

function differing({ labels, second }, regions) {
  const innermost = LABELS.map((label) => innermostOf(label, regions));
  const pixels = labels.reduce((sum, label, index) => sum + (innermost[label] !== innermost[second[index]]), 0);
  return `${pixels} pixel${pixels === 1 ? " differs" : "s differ"}`;
}

/** The innermost of some regions that a label lies in, which tells all of them; undefined for background. */
function innermostOf(label, regions) {
  return regions.findLast((region) => MIN_LABELS[region] <= label);
}

export class Drawing {
  /** `masks` are as in `Viewer`. */
  constructor(canvas, plane, regions, masks) {
    [this.canvas, this.plane, this.regions, this.masks] = [canvas, plane, regions, masks];
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
   * `table` and `window` are the gray window; `contours`, `fill` with `opacity`, `lines` and, where there is a
   * second mask, `second` and `differences` say what is drawn; `crosshair` is a point of the picture, `lesion` one
   * to mark or null, and `measures` those of this plane.
   */
  draw(image, view, { table, window, crosshair, lesion, measures, ...shown }) {
    const { contours, lines } = shown;
    const ratio = globalThis.devicePixelRatio || 1;
    const { canvas, context } = this;
    canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    const place = view.place(canvas.width, canvas.height);
    this.paint(image, table, tintsOf(this.regions, image.second === null ? { ...shown, ...NO_SECOND } : shown));
    context.imageSmoothingQuality = "high";
    const width = this.gray.width * place.perColumn;
    context.drawImage(this.gray, place.x, place.y, width, this.gray.height * place.perRow);
    if (contours) {
      this.drawContours(image, "first", place, ratio);
    }
    if (contours && shown.second && image.second !== null) {
      this.drawContours(image, "second", place, ratio);
    }
    // From here on in CSS pixels.
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [wide, high] = [canvas.width / ratio, canvas.height / ratio];
    const { perMm, ...placed } = view.place(wide, high);
    const at = ([column, row]) => [placed.x + column * placed.perColumn, placed.y + row * placed.perRow];
    if (lines) {
      drawCrosshair(context, at(crosshair), wide, high);
    }
    if (lesion) {
      drawRing(context, at(this.plane.toPicture(lesion.voxel)), lesion.radiusMm * perMm, lesion.number);
    }
    for (const measure of measures) {
      drawMeasure(context, measure, measure.points.map(at), wide, high);
    }
    drawEdges(context, { letters: this.plane.letters, window, perMm, width: wide, height: high });
  }

  /** Gray values, tinted where masks are filled or differ; kept until one of them changes. */
  paint(image, table, tints) {
    const wanted = [image, table, JSON.stringify(tints)];
    if (wanted.every((one, index) => one === this.painted[index])) {
      return;
    }
    this.painted = wanted;
    const { data } = this.pixels;
    const { values, labels, second } = image;
    for (let index = 0; index < values.length; index += 1) {
      const gray = table[values[index] + 32768];
      const code = second === null ? labels[index] : labels[index] + LABELS.length * second[index];
      const { keep, color } = tints[code];
      data[4 * index] = keep * gray + color[0];
      data[4 * index + 1] = keep * gray + color[1];
      data[4 * index + 2] = keep * gray + color[2];
    }
    this.gray.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  /** The contours of a mask, `first` or `second`. */
  drawContours(image, side, place, ratio) {
    const [labels, colors] = side === "first" ? [image.labels, COLORS] : [image.second, SECOND_COLORS];
    image.outlines ??= {};
    image.outlines[side] ??= this.regions.map((region) => [region, this.outlineOf(labels, region)]);
    this.context.lineJoin = "round";
    this.context.setLineDash(side === this.masks.dashed ? DASHES_PX.map((px) => px * ratio) : []);
    for (const [region, path] of image.outlines[side]) {
      const placed = new Path2D();
      placed.addPath(path, new DOMMatrix([place.perColumn, 0, 0, place.perRow, place.x, place.y]));
      stroke(this.context, placed, "rgb(0 0 0 / 50%)", 3.4 * ratio);
      stroke(this.context, placed, colors[region], 2 * ratio);
    }
    this.context.setLineDash([]);
  }

  outlineOf(labels, region) {
    const { nRows, nColumns } = this.plane;
    const path = new Path2D();
    for (const loop of loops(outline(labels, nRows, nColumns, MIN_LABELS[region]), nColumns)) {
      path.moveTo(loop[0], loop[1]);
      for (let index = 2; index < loop.length; index += 2) {
        path.lineTo(loop[index], loop[index + 1]);
      }
      path.closePath();
    }
    return path;
  }
}

/**
 * By label, and three times the label of the second mask: the share of gray that is kept, and what is added.
 *
 * Where the masks differ that is told before what either has, and more strongly, as a difference is small.
 */
function tintsOf(regions, { fill, opacity, second, differences }) {
  return LABELS.flatMap((other) =>
    LABELS.map((label) => {
      const [own, beside] = [innermostOf(label, regions), innermostOf(other, regions)];
      if (differences && own !== beside) {
        return tint(DIFFERENCE, Math.sqrt(opacity));
      }
      return fill ? tint(COLORS[own] ?? (second ? SECOND_COLORS[beside] : undefined), opacity) : NO_TINT;
    }),
  );
}

function tint(color, opacity) {
  if (color === undefined) {
    return NO_TINT;
  }
  const channels = [1, 3, 5].map((from) => Number.parseInt(color.slice(from, from + 2), 16));
  return { keep: 1 - opacity, color: channels.map((channel) => opacity * channel) };
}
