// The three planes of a scan: which way they look, and where a voxel lies in them.

/**
 * Axes of a scan are 0 slices from the feet, 1 rows from the front, 2 columns from the patient's right.
 * `along` is the one that planes follow each other on, `rows` and `columns` are those of their pictures.
 * `up` is the step of the index that counts as up: toward the head, the front, the right.
 */
const KINDS = {
  axial: {
    title: "Axial", along: 0, rows: 1, columns: 2, up: 1, range: "from the feet to the head",
    letters: { left: "R", right: "L", top: "A", bottom: "P" },
  },
  coronal: {
    title: "Coronal", along: 1, rows: 0, columns: 2, up: -1, range: "from the back to the front",
    letters: { left: "R", right: "L", top: "S", bottom: "I" },
  },
  sagittal: {
    title: "Sagittal", along: 2, rows: 0, columns: 1, up: -1, range: "from the left to the right",
    letters: { left: "A", right: "P", top: "S", bottom: "I" },
  },
};
const WORLD = [["L", "R"], ["P", "A"], ["I", "S"]];
const WORLD_OF_AXIS = [2, 1, 0];

export class Plane {
  constructor(scan, name) {
    Object.assign(this, KINDS[name]);
    this.name = name;
    this.count = scan.shape[this.along];
    // Of a part of a scan, planes are counted as in the whole.
    this.first = scan.first_zhw?.[this.along] ?? 0;
    this.countOfAll = scan.whole_shape?.[this.along] ?? this.count;
    [this.nRows, this.nColumns] = [scan.shape[this.rows], scan.shape[this.columns]];
    [this.rowMm, this.columnMm] = [scan.spacing_mm[this.rows], scan.spacing_mm[this.columns]];
    this.stepMm = scan.spacing_mm[this.along];
    // From a pixel to its neighbors in mm of the world, which sees a sheared grid as it is.
    const stepOf = (axis, sign) => scan.affine_ras_mm.slice(0, 3).map((row) => sign * row[axis]);
    this.rowStep = stepOf(this.rows, this.headIsAbove ? -1 : 1);
    this.columnStep = stepOf(this.columns, 1);
  }

  /** What the plane at an index is called: its place in the whole scan, from 1. */
  numberOf(index) {
    return this.first + index + 1;
  }

  /** Rows of a picture run from the head down, against those of the scan. */
  get headIsAbove() {
    return this.rows === 0;
  }

  /** Where the middle of a voxel lies, `[column, row]`; the middle of the first pixel is [0.5, 0.5]. */
  toPicture(voxel) {
    const row = voxel[this.rows] + 0.5;
    return [voxel[this.columns] + 0.5, this.headIsAbove ? this.nRows - row : row];
  }

  /** The voxel under a point of the plane at `index`; beyond the edges, the nearest. */
  toVoxel([column, row], index) {
    const down = clamp(Math.floor(row), this.nRows);
    const voxel = [0, 0, 0];
    voxel[this.along] = index;
    voxel[this.columns] = clamp(Math.floor(column), this.nColumns);
    voxel[this.rows] = this.headIsAbove ? this.nRows - 1 - down : down;
    return voxel;
  }

  /** The index at a height of its slider, whose values rise upward; and back, as it is its own inverse. */
  turned(index) {
    return this.up > 0 ? index : this.count - 1 - index;
  }
}

/** An index within an axis of `count`. */
export function clamp(index, count) {
  return Math.min(count - 1, Math.max(0, index));
}

/** The middle of a voxel in the scanner's coordinates, as ["R 12.0", "A 3.5", "S 40.1"], in mm. */
export function worldOf(scan, voxel) {
  return WORLD.map(([negative, positive], axis) => {
    const [z, row, column, origin] = scan.affine_ras_mm[axis];
    const mm = z * voxel[0] + row * voxel[1] + column * voxel[2] + origin;
    return `${mm < 0 ? negative : positive} ${Math.abs(mm).toFixed(1)}`;
  });
}

/** The coordinate of a voxel across a plane, as "S 40.1 mm". */
export function depthOf(scan, plane, voxel) {
  return `${worldOf(scan, voxel)[WORLD_OF_AXIS[plane.along]]} mm`;
}
