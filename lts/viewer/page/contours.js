// Outlines of regions, through the middles between pixels inside and outside: marching squares on 0 and 1.

// Where a segment runs in a cell of four pixels, by which of them are inside: 1 upper left, 2 upper right,
// 4 lower right, 8 lower left. Sides: 0 top, 1 right, 2 bottom, 3 left.
const SEGMENTS = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];
const SIDES = [[1, 0.5], [1.5, 1], [1, 1.5], [0.5, 1]];

/**
 * Outline all pixels whose label is at least `minLabel`.
 *
 * Returns a flat list of segments x0, y0, x1, y1 in pixels: the middle of the first pixel is (0.5, 0.5).
 */
export function outline(labels, rows, columns, minLabel) {
  const inside = (row, column) =>
    row >= 0 && column >= 0 && row < rows && column < columns && labels[row * columns + column] >= minLabel;
  const { top, bottom, left, right } = bounds(labels, rows, columns, minLabel);
  const segments = [];
  for (let row = top - 1; row <= bottom; row += 1) {
    let leftSide = 0; // of the box: nothing is inside
    for (let column = left - 1; column <= right; column += 1) {
      const [upper, lower] = [inside(row, column + 1), inside(row + 1, column + 1)];
      const code = leftSide + 2 * upper + 4 * lower;
      leftSide = upper + 8 * lower;
      if (SEGMENTS[code].length === 0) {
        continue;
      }
      for (const [from, to] of SEGMENTS[code]) {
        segments.push(column + SIDES[from][0], row + SIDES[from][1]);
        segments.push(column + SIDES[to][0], row + SIDES[to][1]);
      }
    }
  }
  return segments;
}

/**
 * Join the segments of `outline` to closed lines, so that dashes run on from one segment to the next.
 *
 * Returns a list of lines x0, y0, x1, y1, ... of corners; the first follows on the last.
 */
export function loops(segments, columns) {
  // Every segment has the inside on the same hand, so at each point one ends and one begins.
  const stride = 2 * columns + 1; // of half pixels
  const keyAt = (index) => 2 * segments[index + 1] * stride + 2 * segments[index];
  const begins = new Map();
  for (let index = 0; index < segments.length; index += 4) {
    begins.set(keyAt(index), index);
  }
  const found = [];
  for (const [first] of begins) {
    const line = [];
    let key = first;
    while (begins.has(key)) {
      const index = begins.get(key);
      begins.delete(key);
      line.push(segments[index], segments[index + 1]);
      key = keyAt(index + 2);
    }
    found.push(line);
  }
  return found;
}

/** The box around a region; upside down where there is none. */
function bounds(labels, rows, columns, minLabel) {
  const box = { top: rows, bottom: -1, left: columns, right: -1 };
  for (let row = 0; row < rows; row += 1) {
    let [first, last] = [row * columns, (row + 1) * columns - 1];
    while (first <= last && labels[first] < minLabel) {
      first += 1;
    }
    while (first <= last && labels[last] < minLabel) {
      last -= 1;
    }
    if (first <= last) {
      box.top = Math.min(box.top, row);
      box.bottom = row;
      box.left = Math.min(box.left, first - row * columns);
      box.right = Math.max(box.right, last - row * columns);
    }
  }
  return box.bottom < 0 ? { top: 0, bottom: -2, left: 0, right: -2 } : box;
}
