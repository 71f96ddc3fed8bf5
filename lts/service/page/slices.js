// Planes from the service: the one that is looked at first, then its neighbors; memory stays bounded.

const AROUND = 8;
const AT_ONCE = 4;
const MOST_BYTES = 32 * 2 ** 20;
const PIXEL_BYTES = 3; // a value of two and a label of one, without a second mask

export class Slices {
  /**
   * `onLoad(plane, index)` is called when one has come, `onFail(status)` when one cannot be had, with 0 where
   * there was no answer; no other is fetched then before there is another look.
   */
  constructor(planes, { onLoad, onFail }) {
    this.planes = planes;
    [this.onLoad, this.onFail] = [onLoad, onFail];
    this.loaded = new Map(planes.map((plane) => [plane, new Map()]));
    this.coming = new Set();
    this.wanted = [];
    this.indices = new Map();
    this.stopper = new AbortController();
  }

  /** How many of a plane are kept: a share of memory, and never fewer than one and its neighbors. */
  most(plane) {
    const { nRows, nColumns, pixelBytes = PIXEL_BYTES } = plane;
    return Math.max(3, Math.floor(MOST_BYTES / (pixelBytes * nRows * nColumns)));
  }

  /** Look at one of each of some planes, `[[plane, index], ...]`; all are fetched that are not here. */
  look(places) {
    this.indices = new Map(places);
    this.wanted = [...places];
    for (let step = 1; step <= AROUND; step += 1) {
      for (const [plane, index] of places) {
        if (2 * step + 1 <= this.most(plane)) {
          this.wanted.push([plane, index + step], [plane, index - step]);
        }
      }
    }
    this.wanted = this.wanted.filter(([plane, index]) => index >= 0 && index < plane.count);
    this.fetchNext();
  }

  /** `{values, labels, second}` if it is here, the last null where there is no second mask. */
  get(plane, index) {
    return this.loaded.get(plane).get(index);
  }

  /** Stop fetching and forget all. */
  close() {
    this.wanted = [];
    this.stopper.abort();
    this.loaded.forEach((kept) => kept.clear());
  }

  fetchNext() {
    for (const [plane, index] of this.wanted) {
      if (this.coming.size >= AT_ONCE) {
        return;
      }
      const name = `${plane.name} ${index}`;
      if (this.get(plane, index) === undefined && !this.coming.has(name)) {
        this.coming.add(name);
        this.fetch(plane, index).finally(() => {
          this.coming.delete(name);
          this.fetchNext();
        });
      }
    }
  }

  async fetch(plane, index) {
    try {
      const address = plane.address.replace(/\{\w+\}/, index);
      const answer = await fetch(address, { signal: this.stopper.signal });
      if (answer.ok) {
        this.take(plane, index, await answer.arrayBuffer());
      } else {
        this.fail(answer.status);
      }
    } catch (error) {
      if (error.name !== "AbortError") {
        this.fail(0);
      }
    }
  }

  take(plane, index, buffer) {
    const pixels = plane.nRows * plane.nColumns;
    const kept = this.loaded.get(plane);
    kept.set(index, {
      values: new Int16Array(buffer, 0, pixels),
      labels: new Uint8Array(buffer, 2 * pixels, pixels),
      second: buffer.byteLength > 3 * pixels ? new Uint8Array(buffer, 3 * pixels, pixels) : null,
    });
    while (kept.size > this.most(plane)) {
      const distance = (other) => Math.abs(other - this.indices.get(plane));
      kept.delete([...kept.keys()].reduce((a, b) => (distance(b) > distance(a) ? b : a)));
    }
    this.onLoad(plane, index);
  }

  fail(status) {
    this.wanted = [];
    this.onFail(status);
  }
}
