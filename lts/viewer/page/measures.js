// Distances and areas in a plane, in mm of the world.

/** Millimetres between two points `[column, row]` of a plane. */
export function distanceMm(plane, a, b) {
  return Math.hypot(...between(plane, a, b));
}

/** The ellipse whose box has the corners `a` and `b`: `{column, row, columns, rows}`, middle and half axes. */
export function ellipse(a, b) {
  return {
    column: (a[0] + b[0]) / 2,
    row: (a[1] + b[1]) / 2,
    columns: Math.abs(b[0] - a[0]) / 2,
    rows: Math.abs(b[1] - a[1]) / 2,
  };
}

/**
 * An ellipse by the corners of its box: `{areaMm2, pixels, mean, deviation}`.
 *
 * Mean and standard deviation are those of all pixels whose middles lie in it, or null where none does.
 */
export function measureEllipse(plane, image, scale, a, b) {
  const { column, row, columns, rows } = ellipse(a, b);
  const areaMm2 = Math.PI * columns * rows * Math.hypot(...cross(plane.columnStep, plane.rowStep));
  let [pixels, sum, squares] = [0, 0, 0];
  const [top, bottom] = [Math.max(0, Math.floor(row - rows)), Math.min(plane.nRows, Math.ceil(row + rows))];
  const [left, right] = [
    Math.max(0, Math.floor(column - columns)),
    Math.min(plane.nColumns, Math.ceil(column + columns)),
  ];
  for (let y = top; y < bottom; y += 1) {
    for (let x = left; x < right; x += 1) {
      if (((x + 0.5 - column) / columns) ** 2 + ((y + 0.5 - row) / rows) ** 2 <= 1) {
        const number = image.values[y * plane.nColumns + x]; // whole, so that the sums are exact
        pixels += 1;
        sum += number;
        squares += number * number;
      }
    }
  }
  if (pixels === 0) {
    return { areaMm2, pixels, mean: null, deviation: null };
  }
  const variance = (squares - (sum * sum) / pixels) / pixels;
  return {
    areaMm2,
    pixels,
    mean: scale.slope * (sum / pixels) + scale.intercept,
    deviation: scale.slope * Math.sqrt(Math.max(0, variance)),
  };
}

function between(plane, a, b) {
  const [columns, rows] = [b[0] - a[0], b[1] - a[1]];
  return plane.columnStep.map((step, axis) => columns * step + rows * plane.rowStep[axis]);
}

function cross([a, b, c], [d, e, f]) {
  return [b * f - c * e, c * d - a * f, a * e - b * d];
}
