/** A label map as a NIfTI file on the grid its scan came from (src/renalmap/imaging/nifti_writing.py). */

import type { Bytes3 } from "../arrays";
import type { NiftiSource } from "./nifti";
import { MILLIMETRES } from "./nifti_place";
import { type Affine, determinant, type Geometry, spacingOf, toStored } from "./orientation";

const LABEL_INTENT = 1002;
const SCANNER_CODE = 1;
const UINT8 = 2;

/** What places a grid in the patient. Nothing else of a scan's header is copied: it may name the patient. */
interface GridFields {
  pixDims: number[];
  units: number;
  dimInfo: number;
  codes: [number, number];
  /** The quaternion's b, c, d and the offsets. */
  qform: number[];
  srows: number[][];
}

/** Labels as uint8, not packed; the scan's axis order, affine, codes and units. */
export function writeLabelMap(
  labels: Bytes3,
  geometry: Geometry,
  nifti: NiftiSource | null,
): Uint8Array<ArrayBuffer> {
  const stored = toStored(labels, geometry);
  const isFirst = nifti?.isFirst ?? true;
  const fields = nifti === null ? fieldsOf(geometry.source.affine) : fieldsOfHeader(nifti);
  const offset = isFirst ? 352 : 544;
  const file = new Uint8Array(offset + stored.length);
  const view = new DataView(file.buffer);
  const dims = [3, ...geometry.source.shape, 1, 1, 1, 1];
  if (isFirst) writeFirst(view, dims, fields);
  else writeSecond(view, dims, fields);
  file.set(stored, offset);
  return file;
}

function writeFirst(view: DataView, dims: number[], fields: GridFields): void {
  view.setInt32(0, 348, true);
  view.setUint8(39, fields.dimInfo);
  dims.forEach((size, at) => {
    view.setInt16(40 + 2 * at, size, true);
  });
  view.setInt16(68, LABEL_INTENT, true);
  view.setInt16(70, UINT8, true);
  view.setInt16(72, 8, true);
  floats32(view, 76, fields.pixDims);
  floats32(view, 108, [352, 1, 0]); // where voxels begin; slope and intercept
  view.setUint8(123, fields.units);
  text(view, 148, "RenalMap");
  view.setInt16(252, fields.codes[0], true);
  view.setInt16(254, fields.codes[1], true);
  floats32(view, 256, fields.qform);
  floats32(view, 280, fields.srows.flat());
  text(view, 344, "n+1");
}

function writeSecond(view: DataView, dims: number[], fields: GridFields): void {
  view.setInt32(0, 540, true);
  text(view, 4, "n+2\0\r\n\u001a\n");
  view.setInt16(12, UINT8, true);
  view.setInt16(14, 8, true);
  dims.forEach((size, at) => {
    view.setBigInt64(16 + 8 * at, BigInt(size), true);
  });
  floats64(view, 104, fields.pixDims);
  view.setBigInt64(168, 544n, true);
  floats64(view, 176, [1, 0]);
  text(view, 240, "RenalMap");
  view.setInt32(344, fields.codes[0], true);
  view.setInt32(348, fields.codes[1], true);
  floats64(view, 352, fields.qform);
  floats64(view, 400, fields.srows.flat());
  view.setInt32(500, fields.units, true);
  view.setInt32(504, LABEL_INTENT, true);
  view.setUint8(524, fields.dimInfo);
}

function fieldsOfHeader({ header, sform }: NiftiSource): GridFields {
  const { quatern_b, quatern_c, quatern_d, qoffset_x, qoffset_y, qoffset_z } = header;
  return {
    pixDims: header.pixDims,
    units: header.xyzt_units,
    dimInfo: header.dim_info,
    codes: [header.qform_code, header.sform_code],
    qform: [quatern_b, quatern_c, quatern_d, qoffset_x, qoffset_y, qoffset_z],
    srows: sform.slice(0, 3),
  };
}

function fieldsOf(affine: Affine): GridFields {
  const spacing = spacingOf(affine);
  const rotation = [0, 1, 2].map((row) => [0, 1, 2].map((axis) => affine[row][axis] / spacing[axis]));
  const isMirrored = determinant(rotation) < 0;
  const proper = rotation.map((row) => [row[0], row[1], isMirrored ? -row[2] : row[2]]);
  return {
    pixDims: [isMirrored ? -1 : 1, ...spacing, 1, 1, 1, 1],
    units: MILLIMETRES,
    dimInfo: 0,
    codes: [SCANNER_CODE, SCANNER_CODE],
    qform: [...quaternionOf(proper), affine[0][3], affine[1][3], affine[2][3]],
    srows: affine.slice(0, 3),
  };
}

/** The b, c, d of a proper rotation, with a not negative (Shepperd 1978). */
function quaternionOf(r: number[][]): number[] {
  const trace = r[0][0] + r[1][1] + r[2][2];
  const squares = [trace, r[0][0], r[1][1], r[2][2]].map((each, at) =>
    at === 0 ? 1 + trace : 1 + 2 * each - trace,
  );
  const largest = squares.indexOf(Math.max(...squares));
  const root = 2 * Math.sqrt(squares[largest]);
  const differences = [r[2][1] - r[1][2], r[0][2] - r[2][0], r[1][0] - r[0][1]];
  if (largest === 0) return differences.map((each) => each / root);
  const axis = largest - 1;
  const parts = [0, 1, 2].map((at) => (at === axis ? root / 4 : (r[at][axis] + r[axis][at]) / root));
  return differences[axis] < 0 ? parts.map((part) => -part) : parts;
}

function floats32(view: DataView, start: number, values: number[]): void {
  values.forEach((value, at) => {
    view.setFloat32(start + 4 * at, value, true);
  });
}

function floats64(view: DataView, start: number, values: number[]): void {
  values.forEach((value, at) => {
    view.setFloat64(start + 8 * at, value, true);
  });
}

function text(view: DataView, start: number, value: string): void {
  for (let at = 0; at < value.length; at += 1) view.setUint8(start + at, value.charCodeAt(at));
}
