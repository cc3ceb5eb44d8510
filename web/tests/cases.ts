/** Cases that Python made: tests/web/vectors.py. */

import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { Bytes3, Plane, type Triple } from "../src/arrays";
import type { Volume } from "../src/imaging/volume";
import type { DroppedComponent } from "../src/inference/components";
import { Placement } from "../src/inference/placement";

export interface Packed {
  shape: number[];
  dtype: string;
  data: string;
}

// biome-ignore lint/suspicious/noExplicitAny: JSON, whose shape vectors.py gives
export type Case = any;

const FOLDER = new URL("../vectors/", import.meta.url);

export function casesOf(part: string): Case[] {
  return JSON.parse(readFileSync(new URL(`${part}.json`, FOLDER), "utf8"));
}

export function fileOf(name: string): File {
  return new File([readFileSync(new URL(name, FOLDER))], name);
}

export function bytesOf({ data }: Packed): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(inflateSync(Buffer.from(data, "base64")));
}

export function numbersOf(packed: Packed): Int16Array | Float32Array {
  const { buffer } = bytesOf(packed);
  return packed.dtype === "<i2" ? new Int16Array(buffer) : new Float32Array(buffer);
}

export function planeOf(packed: Packed): Plane {
  const [rows, columns] = packed.shape.slice(-2);
  return new Plane(rows, columns, bytesOf(packed));
}

export function volumeBytesOf(packed: Packed): Bytes3 {
  return new Bytes3(packed.shape as Triple, bytesOf(packed));
}

export function volumeOf(found: Case): Volume {
  const shape = found.hu.shape as Triple;
  return {
    hu: numbersOf(found.hu),
    shape,
    spacingMm: found.spacing_mm,
    source: { shape, affine: [], axes: [0, 1, 2], flips: [false, false, false] },
    name: "scan",
    doubts: [],
    notes: [],
  };
}

export function placementOf(found: Case): Placement {
  return new Placement(found.origin_zyx, found.scan_slices, found.spacing_mm);
}

/** What was dropped, as Python writes it, with numbers that may differ in their last bits rounded. */
export function shown(dropped: readonly DroppedComponent[]): unknown[] {
  return dropped.map(({ volumeMl, centre, reason }) => [rounded([volumeMl, ...centre]), reason]);
}

export function expected(dropped: Case[]): unknown[] {
  return dropped.map((each) => [rounded([each.volume_ml, ...each.centre_zyx]), each.reason]);
}

function rounded(values: number[]): string[] {
  return values.map((value) => value.toFixed(6));
}
