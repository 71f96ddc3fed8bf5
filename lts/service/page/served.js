// Planes from the service.

const LINKS = { axial: "slices", coronal: "coronal", sagittal: "sagittal" };
const GONE = "This result is no longer kept.";

/** A source of `Slices`: planes at the addresses of `links`, with the labels of so many masks. */
export class Served {
  constructor(links, masks) {
    [this.links, this.pixelBytes] = [links, 2 + masks]; // a value of two, and labels of one
  }

  async read(plane, index, signal) {
    const answer = await fetch(this.links[LINKS[plane.name]].replace(/\{\w+\}/, index), { signal });
    if (!answer.ok) {
      throw Object.assign(new Error(answer.status), answer.status === 404 ? { told: GONE } : {});
    }
    const [buffer, pixels] = [await answer.arrayBuffer(), plane.nRows * plane.nColumns];
    return {
      values: new Int16Array(buffer, 0, pixels),
      labels: new Uint8Array(buffer, 2 * pixels, pixels),
      second: this.pixelBytes > 3 ? new Uint8Array(buffer, 3 * pixels, pixels) : null,
    };
  }
}
