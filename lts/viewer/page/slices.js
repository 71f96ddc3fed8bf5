// Planes from wherever a scan lies: the one that is looked at first, then its neighbors; memory stays bounded.

const AROUND = 8;
const AT_ONCE = 4;
const MOST_BYTES = 32 * 2 ** 20;
const FAILED = "It could not be loaded.";
const AFTER_A_FRAME_MS = 20;

// Not every browser tells of idle times.
const whenIdle = globalThis.requestIdleCallback?.bind(globalThis) ?? ((call) => setTimeout(call, AFTER_A_FRAME_MS));

export class Slices {
  /**
   * `source` is where planes lie. Its `read(plane, index, signal)` promises `{values, labels, second}`, int16 and
   * uint8 by pixel, the last null where there is no second mask; or it fails, and the error may have a sentence
   * `told`. Its `pixelBytes` is what a pixel takes. Where `isBusy` is true the page itself works for a plane: then
   * neighbors are read one by one, when the browser has nothing else to do.
   *
   * `onLoad(plane, index)` is called when one has come, `onFail(why)` with a sentence when one cannot be had; no
   * other is read then before there is another look.
   */
  constructor(planes, source, { onLoad, onFail }) {
    [this.source, this.onLoad, this.onFail] = [source, onLoad, onFail];
    this.loaded = new Map(planes.map((plane) => [plane, new Map()]));
    this.coming = new Set();
    this.wanted = [];
    this.indices = new Map();
    this.isWaiting = false;
    this.stopper = new AbortController();
  }

  /** How many of a plane are kept: a share of memory, and never fewer than one and its neighbors. */
  most({ nRows, nColumns }) {
    return Math.max(3, Math.floor(MOST_BYTES / (this.source.pixelBytes * nRows * nColumns)));
  }

  /** Look at one of each of some planes, `[[plane, index], ...]`; all are read that are not here. */
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
    this.readNext();
  }

  /** `{values, labels, second}` if it is here. */
  get(plane, index) {
    return this.loaded.get(plane).get(index);
  }

  /** Stop reading and forget all. */
  close() {
    this.wanted = [];
    this.stopper.abort();
    this.loaded.forEach((kept) => kept.clear());
  }

  readNext() {
    for (const place of this.missing()) {
      if (this.coming.size >= AT_ONCE) {
        return;
      }
      if (this.source.isBusy && !this.isLookedAt(place)) {
        if (this.coming.size === 0) {
          this.readWhenIdle();
        }
        return;
      }
      this.start(place);
    }
  }

  /** Read one neighbor at the browser's next idle time, which reads the one after it. */
  readWhenIdle() {
    if (!this.isWaiting) {
      this.isWaiting = true;
      whenIdle(() => {
        this.isWaiting = false;
        const [next] = this.missing();
        if (next !== undefined) {
          this.start(next);
        }
      });
    }
  }

  /** Places that are wanted and neither here nor coming. */
  *missing() {
    for (const [plane, index] of this.wanted) {
      if (this.get(plane, index) === undefined && !this.coming.has(nameOf(plane, index))) {
        yield [plane, index];
      }
    }
  }

  isLookedAt([plane, index]) {
    return this.indices.get(plane) === index;
  }

  start([plane, index]) {
    const name = nameOf(plane, index);
    this.coming.add(name);
    this.read(plane, index).finally(() => {
      this.coming.delete(name);
      this.readNext();
    });
  }

  async read(plane, index) {
    const { signal } = this.stopper;
    try {
      const image = await this.source.read(plane, index, signal);
      if (!signal.aborted) {
        this.take(plane, index, image);
      }
    } catch (error) {
      if (!signal.aborted) {
        this.wanted = [];
        this.onFail(error.told ?? FAILED);
      }
    }
  }

  take(plane, index, image) {
    const kept = this.loaded.get(plane);
    kept.set(index, image);
    while (kept.size > this.most(plane)) {
      const distance = (other) => Math.abs(other - this.indices.get(plane));
      kept.delete([...kept.keys()].reduce((a, b) => (distance(b) > distance(a) ? b : a)));
    }
    this.onLoad(plane, index);
  }
}

function nameOf({ name }, index) {
  return `${name} ${index}`;
}
