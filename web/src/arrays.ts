/** Boxes of voxels and the arrays in them; axes (z, y, x), x fastest, as NumPy stores them. */

export type Triple = [number, number, number];
export type Pair = [number, number];
export type Bytes = Uint8Array<ArrayBuffer>;

/** A half-open region of a plane, (y, x). */
export interface PlaneBox {
  start: Pair;
  stop: Pair;
}

/** A half-open region of a volume, (z, y, x). */
export interface Box {
  start: Triple;
  stop: Triple;
}

/** A plane of bytes: labels, probabilities (255 for certainty) or a mask. */
export class Plane {
  readonly rows: number;
  readonly columns: number;
  readonly data: Bytes;

  constructor(rows: number, columns: number, data: Bytes = new Uint8Array(rows * columns)) {
    this.rows = rows;
    this.columns = columns;
    this.data = data;
  }

  /** A copy of a region that lies within. */
  cut(box: PlaneBox): Plane {
    const part = new Plane(box.stop[0] - box.start[0], box.stop[1] - box.start[1]);
    for (let y = 0; y < part.rows; y += 1) {
      const from = (y + box.start[0]) * this.columns + box.start[1];
      part.data.set(this.data.subarray(from, from + part.columns), y * part.columns);
    }
    return part;
  }

  /** The smallest box about what is not 0; null if there is nothing. */
  bounds(): PlaneBox | null {
    let [top, bottom, left, right] = [this.rows, -1, this.columns, -1];
    for (let y = 0; y < this.rows; y += 1) {
      for (let x = 0; x < this.columns; x += 1) {
        if (this.data[y * this.columns + x] === 0) continue;
        if (y < top) top = y;
        bottom = y;
        if (x < left) left = x;
        if (x > right) right = x;
      }
    }
    return bottom < 0 ? null : { start: [top, left], stop: [bottom + 1, right + 1] };
  }

  /** How many are not 0. */
  count(): number {
    return countNonZero(this.data);
  }
}

/** A volume of bytes. */
export class Bytes3 {
  readonly shape: Triple;
  readonly data: Bytes;

  constructor(shape: Triple, data: Bytes = new Uint8Array(shape[0] * shape[1] * shape[2])) {
    this.shape = shape;
    this.data = data;
  }

  /** A slice; it shares its bytes with the volume. */
  plane(z: number): Plane {
    const [, rows, columns] = this.shape;
    const size = rows * columns;
    return new Plane(rows, columns, this.data.subarray(z * size, (z + 1) * size));
  }

  /** A copy of a region that lies within. */
  cut(box: Box): Bytes3 {
    const part = new Bytes3(shapeOf(box));
    eachRow(this.shape, box, (from, to, size) => {
      part.data.set(this.data.subarray(from, from + size), to);
    });
    return part;
  }

  /** Lay a part back where it was cut out. */
  paste(part: Bytes3, start: Triple): void {
    const [z, y, x] = start;
    const [depth, rows, columns] = part.shape;
    const box: Box = { start, stop: [z + depth, y + rows, x + columns] };
    eachRow(this.shape, box, (to, from, size) => {
      this.data.set(part.data.subarray(from, from + size), to);
    });
  }

  /** The smallest box about what is not 0; null if there is nothing. */
  bounds(): Box | null {
    let found: Box | null = null;
    for (let z = 0; z < this.shape[0]; z += 1) {
      const plane = this.plane(z).bounds();
      if (plane === null) continue;
      found ??= { start: [z, ...plane.start], stop: [z + 1, ...plane.stop] };
      found.stop[0] = z + 1;
      for (const axis of [0, 1]) {
        found.start[axis + 1] = Math.min(found.start[axis + 1], plane.start[axis]);
        found.stop[axis + 1] = Math.max(found.stop[axis + 1], plane.stop[axis]);
      }
    }
    return found;
  }

  any(): boolean {
    return this.data.some((value) => value !== 0);
  }
}

export function shapeOf(box: Box): Triple {
  return [box.stop[0] - box.start[0], box.stop[1] - box.start[1], box.stop[2] - box.start[2]];
}

export function countNonZero(data: Uint8Array): number {
  let count = 0;
  for (let index = 0; index < data.length; index += 1) if (data[index] !== 0) count += 1;
  return count;
}

/** A part of a plane that is known only in a region and 0 elsewhere; the part may reach beyond the region. */
export function partOfPlane(values: Plane, corner: Pair, box: PlaneBox): Plane {
  const part = new Plane(box.stop[0] - box.start[0], box.stop[1] - box.start[1]);
  const [top, bottom] = shared(box.start[0], box.stop[0], corner[0], values.rows);
  const [left, right] = shared(box.start[1], box.stop[1], corner[1], values.columns);
  for (let y = top; y < bottom && left < right; y += 1) {
    const from = (y - corner[0]) * values.columns - corner[1];
    const row = values.data.subarray(from + left, from + right);
    part.data.set(row, (y - box.start[0]) * part.columns + left - box.start[1]);
  }
  return part;
}

/** The same of a volume. */
export function partOfGrid(values: Bytes3, corner: Triple, box: Box): Bytes3 {
  const part = new Bytes3(shapeOf(box));
  const [low, high] = shared(box.start[0], box.stop[0], corner[0], values.shape[0]);
  const within: PlaneBox = {
    start: [box.start[1], box.start[2]],
    stop: [box.stop[1], box.stop[2]],
  };
  for (let z = low; z < high; z += 1) {
    const plane = partOfPlane(values.plane(z - corner[0]), [corner[1], corner[2]], within);
    part.plane(z - box.start[0]).data.set(plane.data);
  }
  return part;
}

/** The smallest box that contains all of these, at least one. */
export function around(boxes: readonly PlaneBox[]): PlaneBox {
  const low = (axis: number) => Math.min(...boxes.map((box) => box.start[axis]));
  const high = (axis: number) => Math.max(...boxes.map((box) => box.stop[axis]));
  return { start: [low(0), low(1)], stop: [high(0), high(1)] };
}

function shared(low: number, high: number, corner: number, size: number): Pair {
  return [Math.max(low, corner), Math.min(high, corner + size)];
}

function eachRow(
  shape: Triple,
  box: Box,
  visit: (outside: number, inside: number, size: number) => void,
): void {
  const [depth, rows, columns] = shapeOf(box);
  for (let z = 0; z < depth; z += 1) {
    for (let y = 0; y < rows; y += 1) {
      const line = (z + box.start[0]) * shape[1] + y + box.start[1];
      visit(line * shape[2] + box.start[2], (z * rows + y) * columns, columns);
    }
  }
}
