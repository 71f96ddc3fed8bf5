// Where a picture lies on a canvas: in physical proportion, fitted, then zoomed and moved.

const MOST_ZOOM = 32;

export class View {
  constructor(plane) {
    [this.plane, this.widthMm, this.heightMm] = [plane, plane.nColumns * plane.columnMm, plane.nRows * plane.rowMm];
    this.reset();
  }

  /** Show the whole picture. */
  reset() {
    this.zoom = 1;
    this.centerMm = [this.widthMm / 2, this.heightMm / 2];
  }

  /** On a canvas of `width` times `height` pixels: `{x, y, perColumn, perRow, perMm}`. */
  place(width, height) {
    const perMm = this.zoom * Math.min(width / this.widthMm, height / this.heightMm);
    return {
      x: width / 2 - this.centerMm[0] * perMm,
      y: height / 2 - this.centerMm[1] * perMm,
      perColumn: this.plane.columnMm * perMm,
      perRow: this.plane.rowMm * perMm,
      perMm,
    };
  }

  /** Zoom by a factor; the point `[x, y]` of the canvas stays where it is. */
  zoomBy(factor, [x, y], width, height) {
    const before = this.place(width, height).perMm;
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    const after = this.place(width, height).perMm;
    const [across, down] = [x - width / 2, y - height / 2];
    this.moveMm(across / before - across / after, down / before - down / after);
  }

  /** Move the picture by pixels of the canvas. */
  moveBy([across, down], width, height) {
    const { perMm } = this.place(width, height);
    this.moveMm(-across / perMm, -down / perMm);
  }

  moveMm(across, down) {
    const [x, y] = this.centerMm;
    // The middle of the canvas stays on the picture; a picture that is not zoomed stays where it fits.
    const free = this.zoom > 1;
    this.centerMm = [
      free ? Math.min(this.widthMm, Math.max(0, x + across)) : this.widthMm / 2,
      free ? Math.min(this.heightMm, Math.max(0, y + down)) : this.heightMm / 2,
    ];
  }

  /** Move so that a point `[column, row]` can be seen. */
  reveal([column, row], width, height) {
    const { x, y, perColumn, perRow } = this.place(width, height);
    const [across, down] = [x + column * perColumn, y + row * perRow];
    if (across < 0 || across > width || down < 0 || down > height) {
      this.moveMm(column * this.plane.columnMm - this.centerMm[0], row * this.plane.rowMm - this.centerMm[1]);
    }
  }
}
