// One plane on a canvas: gray values and masks, then what is drawn over them.

import { loops, outline } from "./contours.js";
import { drawCrosshair, drawEdges, drawMeasure, drawRing, stroke } from "./overlay.js";

export const COLORS = { liver: "#F0E442", tumor: "#FF6A13" };
export const DIFFERENCE = "#E07BC0";
const SECOND_COLORS = { liver: "#56B4E9", tumor: "#00C896" };
const DASHES_PX = [6, 4];
const MIN_LABELS = { liver: 1, tumor: 2 };
const LABELS = [0, 1, 2];
// Pairs of a label and that of the second mask, at the first plus three times the second.
const CODES = LABELS.flatMap((other) => LABELS.map((label) => [label, other]));
const GRAYS = 256;
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
  const highest = LABELS.findLast((label) => labels.includes(label)) ?? 0;
  const seen = regions.filter((region) => MIN_LABELS[region] <= highest);
  return seen.length > 0 ? `with ${seen.join(" and ")}` : "without a region";
}

function differing({ labels, second }, regions) {
  const innermost = LABELS.map((label) => innermostOf(label, regions));
  const differ = Uint8Array.from(CODES, ([label, other]) => Number(innermost[label] !== innermost[other]));
  let pixels = 0;
  for (let index = 0; index < labels.length; index += 1) {
    pixels += differ[labels[index] + LABELS.length * second[index]];
  }
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
    // The scan with its contours as they lie on the canvas: to draw them takes long, and most often neither changes.
    this.scan = document.createElement("canvas").getContext("2d", { alpha: false });
    this.looks = [];
    this.gray = document.createElement("canvas");
    [this.gray.height, this.gray.width] = [plane.nRows, plane.nColumns];
    this.pixels = this.gray.getContext("2d").createImageData(plane.nColumns, plane.nRows);
    this.colors = new Uint32Array(this.pixels.data.buffer);
    this.painted = [];
  }

  /**
   * Draw `image` where `view` says, on `size` CSS pixels, `[width, height]`.
   *
   * `table` and `window` are the gray window, `window` null where there is no scan; `contours`, `fill` with
   * `opacity`, `lines` and, where there is a second mask, `second` and `differences` say what is drawn; `crosshair`
   * is a point of the picture, `lesion` one to mark or null, and `measures` those of this plane.
   */
  draw(image, view, size, { table, window, crosshair, lesion, measures, ...shown }) {
    const ratio = globalThis.devicePixelRatio || 1;
    const { canvas, context } = this;
    [canvas.width, canvas.height] = size.map((side) => Math.max(1, Math.round(side * ratio)));
    this.drawScan(image, table, view.place(canvas.width, canvas.height), ratio, {
      ...shown,
      ...(image.second === null && NO_SECOND),
    });
    context.drawImage(this.scan.canvas, 0, 0);
    // From here on in CSS pixels.
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const [wide, high] = [canvas.width / ratio, canvas.height / ratio];
    const { perMm, ...placed } = view.place(wide, high);
    const at = ([column, row]) => [placed.x + column * placed.perColumn, placed.y + row * placed.perRow];
    if (shown.lines) {
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

  /** Gray values and contours; kept until they, or where they lie, change. */
  drawScan(image, table, place, ratio, { contours, second, ...filled }) {
    const { canvas, gray, scan } = this;
    const tints = tintsOf(this.regions, { second, ...filled });
    const looks = [image, table, JSON.stringify([canvas.width, canvas.height, place, ratio, contours, second, tints])];
    if (looks.every((one, index) => one === this.looks[index])) {
      return;
    }
    this.looks = looks;
    this.paint(image, table, tints);
    [scan.canvas.width, scan.canvas.height] = [canvas.width, canvas.height];
    scan.imageSmoothingQuality = "high";
    scan.drawImage(gray, place.x, place.y, gray.width * place.perColumn, gray.height * place.perRow);
    if (contours) {
      this.drawContours(image, "first", place, ratio);
    }
    if (contours && second) {
      this.drawContours(image, "second", place, ratio);
    }
  }

  /** Gray values, tinted where masks are filled or differ; kept until one of them changes. */
  paint(image, table, tints) {
    const wanted = [JSON.stringify(tints), image, table];
    if (wanted.every((one, index) => one === this.painted[index])) {
      return;
    }
    if (wanted[0] !== this.painted[0]) {
      this.tinted = tintedGrays(tints);
    }
    this.painted = wanted;
    const { colors, tinted } = this;
    const { values, labels, second } = image;
    for (let index = 0; index < values.length; index += 1) {
      const code = second === null ? labels[index] : labels[index] + LABELS.length * second[index];
      colors[index] = tinted[GRAYS * code + table[values[index] + 32768]];
    }
    this.gray.getContext("2d").putImageData(this.pixels, 0, 0);
  }

  /** The contours of a mask, `first` or `second`. */
  drawContours(image, side, place, ratio) {
    const [labels, colors] = side === "first" ? [image.labels, COLORS] : [image.second, SECOND_COLORS];
    image.outlines ??= {};
    image.outlines[side] ??= this.regions.map((region) => [region, this.outlineOf(labels, region)]);
    this.scan.lineJoin = "round";
    this.scan.setLineDash(side === this.masks.dashed ? DASHES_PX.map((px) => px * ratio) : []);
    for (const [region, path] of image.outlines[side]) {
      const placed = new Path2D();
      placed.addPath(path, new DOMMatrix([place.perColumn, 0, 0, place.perRow, place.x, place.y]));
      stroke(this.scan, placed, "rgb(0 0 0 / 50%)", 3.4 * ratio);
      stroke(this.scan, placed, colors[region], 2 * ratio);
    }
    this.scan.setLineDash([]);
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
  return CODES.map(([label, other]) => {
    const [own, beside] = [innermostOf(label, regions), innermostOf(other, regions)];
    if (differences && own !== beside) {
      return tint(DIFFERENCE, Math.sqrt(opacity));
    }
    return fill ? tint(COLORS[own] ?? (second ? SECOND_COLORS[beside] : undefined), opacity) : NO_TINT;
  });
}

/** Colors of all grays in each of some tints, as a canvas holds them. */
function tintedGrays(tints) {
  const channels = new Uint8ClampedArray(4 * GRAYS * tints.length).fill(255);
  tints.forEach(({ keep, color }, code) => {
    for (let gray = 0; gray < GRAYS; gray += 1) {
      channels.set(color.map((part) => keep * gray + part), 4 * (GRAYS * code + gray));
    }
  });
  return new Uint32Array(channels.buffer);
}

function tint(color, opacity) {
  if (color === undefined) {
    return NO_TINT;
  }
  const channels = [1, 3, 5].map((from) => Number.parseInt(color.slice(from, from + 2), 16));
  return { keep: 1 - opacity, color: channels.map((channel) => opacity * channel) };
}
