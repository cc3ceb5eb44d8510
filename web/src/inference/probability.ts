/** The networks' probabilities as bytes, 255 for certainty (src/renalmap/inference/probability.py). */

import { type Box, Bytes3, Plane, type PlaneBox, shapeOf, type Triple } from "../arrays";
import { roundHalfEven } from "../numbers";

/** 255 times a probability, rounded. */
export function toByte(probability: number): number {
  return roundHalfEven(Math.fround(Math.fround(probability) * 255));
}

/** A slice of probabilities, nearly all of them 0: only the box about the others is kept. */
export class PackedPlane {
  private readonly box: PlaneBox | null;
  private readonly part: Plane | null;

  private readonly whole: { rows: number; columns: number };

  constructor(plane: Plane) {
    this.whole = { rows: plane.rows, columns: plane.columns };
    this.box = plane.bounds();
    this.part = this.box === null ? null : plane.cut(this.box);
  }

  unpack(): Plane {
    const plane = new Plane(this.whole.rows, this.whole.columns);
    if (this.box === null || this.part === null) return plane;
    const [top, left] = this.box.start;
    for (let y = 0; y < this.part.rows; y += 1) {
      const row = this.part.data.subarray(y * this.part.columns, (y + 1) * this.part.columns);
      plane.data.set(row, (y + top) * plane.columns + left);
    }
    return plane;
  }
}

/** Both regions' probabilities in a box of the network's grid. */
export class GridProbabilities {
  readonly box: Box;
  readonly kidney: Bytes3;
  readonly tumour: Bytes3;

  constructor(box: Box) {
    this.box = box;
    this.kidney = new Bytes3(shapeOf(box));
    this.tumour = new Bytes3(shapeOf(box));
  }

  get origin(): Triple {
    return this.box.start;
  }

  /** The box in the plane. */
  get planeBox(): PlaneBox {
    const { start, stop } = this.box;
    return { start: [start[1], start[2]], stop: [stop[1], stop[2]] };
  }
}
