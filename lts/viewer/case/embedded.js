// Planes cut from volumes that lie in the page itself.

const OLD = "This browser is too old to unpack the scan.";

const byId = (id) => document.getElementById(id);

/** A source of `Slices`: a scan whose values and labels are packed in elements of the page. */
export class Embedded {
  constructor(scan) {
    [this.shape, this.block, this.pixelBytes] = [scan.shape, scan.block, 4];
    this.volumes = this.unpack();
    this.volumes.catch(() => {}); // told when a plane is read
  }

  async unpack() {
    if (globalThis.DecompressionStream === undefined) {
      throw Object.assign(new Error(OLD), { told: OLD });
    }
    const [values, labels] = await Promise.all(["values", "labels"].map(bytesIn));
    const [depth, ...sides] = this.shape;
    const [rows, columns] = sides.map((side) => Math.ceil(side / this.block));
    return { values: unfold(values, depth, rows * columns, columns), columns, rows, labels };
  }

  async read(plane, index) {
    const { values, rows, columns, labels } = await this.volumes;
    const [, height, width] = this.shape;
    const inBlocks = (side) => Math.floor(side / this.block);
    const pixels = plane.nRows * plane.nColumns;
    const image = { values: new Int16Array(pixels), labels: new Uint8Array(pixels), second: new Uint8Array(pixels) };
    const voxel = [0, 0, 0];
    voxel[plane.along] = index;
    for (let row = 0, pixel = 0; row < plane.nRows; row += 1) {
      voxel[plane.rows] = plane.headIsAbove ? plane.nRows - 1 - row : row;
      for (let column = 0; column < plane.nColumns; column += 1, pixel += 1) {
        voxel[plane.columns] = column;
        const both = labels[(voxel[0] * height + voxel[1]) * width + voxel[2]];
        image.labels[pixel] = both % 3;
        image.second[pixel] = both / 3;
        image.values[pixel] = values[(voxel[0] * rows + inBlocks(voxel[1])) * columns + inBlocks(voxel[2])];
      }
    }
    return image;
  }
}

/** What an element holds: gzip in base64, inflated; the element goes, as its text takes memory too. */
async function bytesIn(id) {
  const letters = atob(byId(id).textContent);
  byId(id).remove();
  const packed = new Uint8Array(letters.length);
  for (let index = 0; index < letters.length; index += 1) {
    packed[index] = letters.charCodeAt(index);
  }
  const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(inflated).arrayBuffer());
}

/** Numbers of slices of so many pixels, from the low and then the high bytes of steps along rows. */
function unfold(bytes, depth, pixels, columns) {
  const values = new Int16Array(depth * pixels);
  for (let z = 0, at = 0; z < depth; z += 1) {
    for (let pixel = 0; pixel < pixels; pixel += 1, at += 1) {
      const low = 2 * z * pixels + pixel;
      const folded = bytes[low] | (bytes[low + pixels] << 8);
      const step = (folded >>> 1) ^ -(folded & 1);
      values[at] = pixel % columns === 0 ? step : values[at - 1] + step;
    }
  }
  return values;
}
