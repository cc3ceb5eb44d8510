/** Whether two components come near each other, in millimetres (src/renalmap/inference/nearness.py). */

import { type Box, partOfGrid, type Triple } from "../arrays";
import type { Component } from "./components";

const ROUNDING_MM2 = 1e-3;

/** Whether any voxel's centre of one lies within the limit of any of the other's. */
export function comesWithin(
  one: Component,
  other: Component,
  spacingMm: Triple,
  limitMm: number,
): boolean {
  const steps = spacingMm.map((spacing) => Math.trunc(limitMm / spacing + 1e-6)) as Triple;
  const wider: Box = {
    start: one.box.start.map((low, axis) => low - steps[axis]) as Triple,
    stop: one.box.stop.map((high, axis) => high + steps[axis]) as Triple,
  };
  const near = partOfGrid(other.inside, other.box.start, wider);
  if (!near.any()) return false;
  let squared = Float32Array.from(near.data, (value) => (value !== 0 ? 0 : Number.POSITIVE_INFINITY));
  const strides: Triple = [near.shape[1] * near.shape[2], near.shape[2], 1];
  for (let axis = 0; axis < 3; axis += 1) {
    squared = spread(squared, near.shape[axis], strides[axis], spacingMm[axis], steps[axis]);
  }
  const [depth, rows, columns] = one.inside.shape;
  for (let index = 0; index < one.inside.data.length; index += 1) {
    if (one.inside.data[index] === 0) continue;
    const x = (index % columns) + steps[2];
    const y = (Math.floor(index / columns) % rows) + steps[1];
    const z = (Math.floor(index / (rows * columns)) % depth) + steps[0];
    const distance = squared[z * strides[0] + y * strides[1] + x];
    if (distance <= limitMm ** 2 + ROUNDING_MM2) return true;
  }
  return false;
}

/** Whether a voxel of one lies straight above or below one of the other's, within the limit. */
export function continuesAlongZ(
  one: Component,
  other: Component,
  sliceDistanceMm: number,
  limitMm: number,
): boolean {
  const steps = Math.trunc(limitMm / sliceDistanceMm + 1e-6);
  const wider: Box = {
    start: [one.box.start[0] - steps, one.box.start[1], one.box.start[2]],
    stop: [one.box.stop[0] + steps, one.box.stop[1], one.box.stop[2]],
  };
  const others = partOfGrid(other.inside, other.box.start, wider);
  const plane = one.inside.shape[1] * one.inside.shape[2];
  for (let way = -steps; way <= steps; way += 1) {
    if (way === 0) continue;
    const from = (steps + way) * plane;
    if (one.inside.data.some((value, at) => value !== 0 && others.data[from + at] !== 0)) return true;
  }
  return false;
}

function spread(
  before: Float32Array<ArrayBuffer>,
  length: number,
  stride: number,
  spacingMm: number,
  steps: number,
): Float32Array<ArrayBuffer> {
  const after = before.slice();
  for (let step = 1; step <= Math.min(steps, length - 1); step += 1) {
    const further = Math.fround((step * spacingMm) ** 2);
    for (let at = 0; at < before.length; at += 1) {
      const place = Math.floor(at / stride) % length;
      if (place >= step) {
        after[at] = Math.min(after[at], Math.fround(before[at - step * stride] + further));
      }
      if (place + step < length) {
        after[at] = Math.min(after[at], Math.fround(before[at + step * stride] + further));
      }
    }
  }
  return after;
}
