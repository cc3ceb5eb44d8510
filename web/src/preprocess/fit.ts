/** How slices of one size lie on the network's square grid, and back (src/renalmap/preprocess/spatial.py). */

import { type Pair, Plane, type PlaneBox } from "../arrays";
import { clamp, roundHalfEven } from "../numbers";

export class InPlaneFit {
  readonly box: PlaneBox;
  readonly isIdentity: boolean;
  private readonly downRows: Weights;
  private readonly downColumns: Weights;

  constructor(
    readonly rows: number,
    readonly columns: number,
    readonly spacingMm: Pair,
    readonly gridSize: number,
  ) {
    this.isIdentity = rows === columns && rows === gridSize;
    this.box = this.isIdentity ? { start: [0, 0], stop: [gridSize, gridSize] } : this.place();
    this.downRows = linearWeights(rows, this.height);
    this.downColumns = linearWeights(columns, this.width);
  }

  /** Pixel spacing (y, x) on the grid. */
  get gridSpacingMm(): Pair {
    return [
      (this.spacingMm[0] * this.rows) / this.height,
      (this.spacingMm[1] * this.columns) / this.width,
    ];
  }

  /** Put a slice on the grid by linear interpolation; shrinking averages. */
  toGrid(values: Int16Array | Float32Array, outside: number): Float32Array {
    if (this.isIdentity) return Float32Array.from(values);
    const grid = new Float32Array(this.gridSize ** 2).fill(outside);
    const narrowed = new Float32Array(this.height * this.columns);
    for (let y = 0; y < this.height; y += 1) {
      const line = narrowed.subarray(y * this.columns, (y + 1) * this.columns);
      const { first, weights } = this.downRows[y];
      weights.forEach((weight, step) => {
        const from = (first + step) * this.columns;
        for (let x = 0; x < this.columns; x += 1) line[x] += weight * values[from + x];
      });
    }
    const [top, left] = this.box.start;
    for (let y = 0; y < this.height; y += 1) {
      for (let x = 0; x < this.width; x += 1) {
        const { first, weights } = this.downColumns[x];
        let total = 0;
        for (let step = 0; step < weights.length; step += 1) {
          total += weights[step] * narrowed[y * this.columns + first + step];
        }
        grid[(y + top) * this.gridSize + x + left] = total;
      }
    }
    return grid;
  }

  /** Bring a grid slice (labels or probabilities) back to the scan's pixels by nearest neighbour. */
  fromGrid(grid: Plane): Plane {
    if (this.isIdentity) return grid;
    const back = new Plane(this.rows, this.columns);
    const columns = nearest(this.width, this.columns);
    nearest(this.height, this.rows).forEach((row, y) => {
      const from = (row + this.box.start[0]) * this.gridSize + this.box.start[1];
      columns.forEach((column, x) => {
        back.data[y * this.columns + x] = grid.data[from + column];
      });
    });
    return back;
  }

  /** The grid's column at a column of the scan. */
  column(scanColumn: number): number {
    const scale = this.width / this.columns;
    return this.box.start[1] + (scanColumn + 0.5) * scale - 0.5;
  }

  /** The scan's (row, column) at a place of the grid. */
  placeOnScan([y, x]: Pair): Pair {
    const [top, left] = this.box.start;
    return [
      ((y - top + 0.5) * this.rows) / this.height - 0.5,
      ((x - left + 0.5) * this.columns) / this.width - 0.5,
    ];
  }

  private get height(): number {
    return this.box.stop[0] - this.box.start[0];
  }

  private get width(): number {
    return this.box.stop[1] - this.box.start[1];
  }

  private place(): PlaneBox {
    const extentsMm = [this.rows * this.spacingMm[0], this.columns * this.spacingMm[1]];
    const pixelMm = Math.max(...extentsMm) / this.gridSize;
    const [height, width] = extentsMm.map((extent) =>
      clamp(roundHalfEven(extent / pixelMm), 1, this.gridSize),
    );
    const start: Pair = [(this.gridSize - height) >> 1, (this.gridSize - width) >> 1];
    return { start, stop: [start[0] + height, start[1] + width] };
  }
}

type Weights = { first: number; weights: number[] }[];

/** For each output pixel the input pixels of linear interpolation, widened to it if it is larger. */
function linearWeights(sizeIn: number, sizeOut: number): Weights {
  const scale = sizeIn / sizeOut;
  const width = Math.max(1, scale);
  return Array.from({ length: sizeOut }, (_, index) => {
    const centre = clamp((index + 0.5) * scale - 0.5, 0, sizeIn - 1);
    const first = Math.max(0, Math.ceil(centre - width));
    const last = Math.min(sizeIn - 1, Math.floor(centre + width));
    const raw = Array.from({ length: last - first + 1 }, (_, step) =>
      Math.max(0, 1 - Math.abs(centre - first - step) / width),
    );
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: raw.map((weight) => Math.fround(weight / total)) };
  });
}

function nearest(sizeIn: number, sizeOut: number): number[] {
  return Array.from({ length: sizeOut }, (_, index) =>
    Math.min(Math.trunc(((index + 0.5) * sizeIn) / sizeOut), sizeIn - 1),
  );
}
