// Planes cut from volumes that lie in the page itself.

const OLD = "This browser is too old to unpack the scan.";
const CUBE = 16;

const byId = (id) => document.getElementById(id);

/** A source of `Slices`: a scan whose values and labels are packed in elements of the page. */
export class Embedded {
  constructor(scan) {
    [this.shape, this.block, this.pixelBytes, this.isBusy] = [scan.shape, scan.block, 4, true];
    this.volumes = this.unpack();
    this.volumes.catch(() => {}); // told when a plane is read
  }

  async unpack() {
    if (globalThis.DecompressionStream === undefined) {
      throw Object.assign(new Error(OLD), { told: OLD });
    }
    const [values, labels] = [new Values(this.shape, this.block), new Labels(this.shape)];
    await Promise.all([
      inflate("values", 2 * values.pixels, (slice, z) => values.take(slice, z)),
      inflate("labels", labels.pixels, (slice, z) => labels.take(slice, z)),
    ]);
    return { values, labels };
  }

  async read(plane, index) {
    const { values, labels } = await this.volumes;
    return { values: values.cut(plane, index), ...labels.cut(plane, index) };
  }
}

/** Values of a scan, each that of a square of `block` pixels a side. */
class Values {
  constructor([depth, ...sides], block) {
    const [rows, columns] = sides.map((side) => Math.ceil(side / block));
    [this.columns, this.pixels] = [columns, rows * columns];
    // By axis: how many voxels share a number, and how far it is to the next one.
    [this.shared, this.steps] = [[1, block, block], [rows * columns, columns, 1]];
    this.numbers = new Int16Array(depth * rows * columns);
  }

  /** Take a slice: the low and then the high bytes of steps along rows. */
  take(slice, z) {
    const { numbers, columns, pixels } = this;
    for (let pixel = 0, at = z * pixels; pixel < pixels; pixel += 1, at += 1) {
      const folded = slice[pixel] | (slice[pixel + pixels] << 8);
      const step = (folded >>> 1) ^ -(folded & 1);
      numbers[at] = pixel % columns === 0 ? step : numbers[at - 1] + step;
    }
  }

  cut(plane, index) {
    const picture = new Int16Array(plane.nRows * plane.nColumns);
    const place = (axis, voxel) => this.steps[axis] * Math.floor(voxel / this.shared[axis]);
    const columns = Int32Array.from({ length: plane.nColumns }, (_, column) => place(plane.columns, column));
    for (let row = 0, pixel = 0; row < plane.nRows; row += 1) {
      const up = plane.headIsAbove ? plane.nRows - 1 - row : row;
      const first = place(plane.along, index) + place(plane.rows, up);
      for (let column = 0; column < plane.nColumns; column += 1, pixel += 1) {
        picture[pixel] = this.numbers[first + columns[column]];
      }
    }
    return picture;
  }
}

/** Labels of two masks, in cubes of voxels; where neither mask has a region there are none. */
class Labels {
  constructor(shape) {
    const [depth, rows, columns] = shape.map((side) => Math.ceil(side / CUBE));
    [this.columns, this.pixels] = [shape[2], shape[1] * shape[2]];
    this.cubes = new Array(depth * rows * columns).fill(null);
    // By axis: how far it is to the next cube, and in a cube to the next voxel.
    [this.cubeSteps, this.steps] = [[rows * columns, columns, 1], [CUBE * CUBE, CUBE, 1]];
  }

  /** Take a slice of labels of the first mask plus three times those of the second. */
  take(slice, z) {
    const words = new Uint32Array(slice.buffer, 0, Math.floor(this.pixels / 4));
    for (let word = 0; word < words.length; word += 1) {
      // Most have nothing.
      if (words[word] !== 0) {
        this.put(slice, z, 4 * word, 4 * word + 4);
      }
    }
    this.put(slice, z, 4 * words.length, this.pixels);
  }

  put(slice, z, first, end) {
    for (let pixel = first; pixel < end; pixel += 1) {
      if (slice[pixel] !== 0) {
        const row = Math.floor(pixel / this.columns);
        const column = pixel - row * this.columns;
        const cube = (this.cubes[this.cubeOf(0, z) + this.cubeOf(1, row) + this.cubeOf(2, column)] ??= new Uint8Array(
          CUBE ** 3,
        ));
        cube[((z % CUBE) * CUBE + (row % CUBE)) * CUBE + (column % CUBE)] = slice[pixel];
      }
    }
  }

  cubeOf(axis, voxel) {
    return this.cubeSteps[axis] * Math.floor(voxel / CUBE);
  }

  cut(plane, index) {
    const pixels = plane.nRows * plane.nColumns;
    const masks = { labels: new Uint8Array(pixels), second: new Uint8Array(pixels) };
    for (let row = 0; row < plane.nRows; row += CUBE) {
      for (let column = 0; column < plane.nColumns; column += CUBE) {
        const places = [[plane.along, index], [plane.rows, row], [plane.columns, column]];
        const cube = this.cubes[places.reduce((sum, [axis, voxel]) => sum + this.cubeOf(axis, voxel), 0)];
        if (cube !== null) {
          this.cutCube(cube, plane, [index, row, column], masks);
        }
      }
    }
    return masks;
  }

  /** The pixels of a plane at `index` in a cube whose pixels begin at `top` and `left`. */
  cutCube(cube, plane, [index, top, left], { labels, second }) {
    const [rowStep, columnStep] = [this.steps[plane.rows], this.steps[plane.columns]];
    const first = this.steps[plane.along] * (index % CUBE);
    const [rows, columns] = [Math.min(CUBE, plane.nRows - top), Math.min(CUBE, plane.nColumns - left)];
    for (let row = 0; row < rows; row += 1) {
      const down = plane.headIsAbove ? plane.nRows - 1 - top - row : top + row;
      for (let column = 0; column < columns; column += 1) {
        const both = cube[first + row * rowStep + column * columnStep];
        const pixel = down * plane.nColumns + left + column;
        labels[pixel] = both % 3;
        second[pixel] = both / 3;
      }
    }
  }
}

/**
 * Inflate what an element holds, gzip in base64; the element goes, as its text takes memory too.
 *
 * `take(piece, number)` is called with each piece of so many bytes, in turn; it is overwritten after that.
 */
async function inflate(id, length, take) {
  const inflated = new Blob([bytesIn(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const piece = new Uint8Array(length);
  let [filled, number] = [0, 0];
  for (const reader = inflated.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) {
      return;
    }
    for (let used = 0; used < value.length; ) {
      const part = value.subarray(used, used + length - filled);
      piece.set(part, filled);
      [used, filled] = [used + part.length, filled + part.length];
      if (filled === length) {
        take(piece, number);
        [filled, number] = [0, number + 1];
      }
    }
  }
}

function bytesIn(id) {
  const letters = atob(byId(id).textContent);
  byId(id).remove();
  const packed = new Uint8Array(letters.length);
  for (let index = 0; index < letters.length; index += 1) {
    packed[index] = letters.charCodeAt(index);
  }
  return packed;
}
