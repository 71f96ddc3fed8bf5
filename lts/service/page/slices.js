// Slices from the service: those around the one that is looked at come first, and memory stays bounded.

const AROUND = 12;
const AT_ONCE = 4;
const MOST_BYTES = 96 * 2 ** 20;

export class Slices {
  /** `onLoad(z)` is called when a slice has come, `onFail(status)` when one cannot be had, 0 without an answer. */
  constructor(scan, { onLoad, onFail }) {
    [this.depth, this.rows, this.columns] = scan.shape;
    this.address = scan.links.slices;
    this.onLoad = onLoad;
    this.onFail = onFail;
    this.loaded = new Map();
    this.coming = new Set();
    this.wanted = [];
    this.current = 0;
    this.most = Math.max(2 * AROUND + 1, Math.floor(MOST_BYTES / (3 * this.rows * this.columns)));
    this.stopper = new AbortController();
  }

  /** The slice if it is here: `{values, labels}`; it and its neighbors are fetched otherwise. */
  look(z) {
    this.current = z;
    this.wanted = [z];
    for (let step = 1; step <= AROUND; step += 1) {
      this.wanted.push(z + step, z - step);
    }
    this.wanted = this.wanted.filter((other) => other >= 0 && other < this.depth);
    this.fetchNext();
    return this.loaded.get(z);
  }

  /** Stop fetching and forget all. */
  close() {
    this.wanted = [];
    this.stopper.abort();
    this.loaded.clear();
  }

  fetchNext() {
    for (const z of this.wanted) {
      if (this.coming.size >= AT_ONCE) {
        return;
      }
      if (!this.loaded.has(z) && !this.coming.has(z)) {
        this.coming.add(z);
        this.fetch(z);
      }
    }
  }

  async fetch(z) {
    try {
      const answer = await fetch(this.address.replace("{z}", z), { signal: this.stopper.signal });
      if (!answer.ok) {
        this.fail(answer.status);
        return;
      }
      this.take(z, await answer.arrayBuffer());
    } catch (error) {
      if (error.name !== "AbortError") {
        this.fail(0);
      }
    } finally {
      this.coming.delete(z);
    }
    this.fetchNext();
  }

  take(z, buffer) {
    const pixels = this.rows * this.columns;
    this.loaded.set(z, {
      values: new Int16Array(buffer, 0, pixels),
      labels: new Uint8Array(buffer, 2 * pixels, pixels),
    });
    while (this.loaded.size > this.most) {
      const distance = (other) => Math.abs(other - this.current);
      this.loaded.delete([...this.loaded.keys()].reduce((a, b) => (distance(b) > distance(a) ? b : a)));
    }
    this.onLoad(z);
  }

  fail(status) {
    this.wanted = [];
    this.onFail(status);
  }
}
