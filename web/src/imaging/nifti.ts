/** Reading NIfTI files, streamed so that there is never a second copy of a scan (src/renalmap/imaging/nifti.py). */

import { readHeader } from "nifti-reader-js";
import type { Triple } from "../arrays";
import { InputError } from "../errors";
import { HuGrid } from "./filling";
import { findPlace, isNifti1, type NiftiHeader, sformOf } from "./nifti_place";
import type { Affine } from "./orientation";
import { ByteStream } from "./stream";
import type { Volume } from "./volume";

/** More bytes than this never come out of one that gzip packed. */
const DEFLATE_RATIO = 1032;
const CHUNK_BYTES = 4 * 2 ** 20;

type VoxelArray = new (buffer: ArrayBuffer) => ArrayLike<number> | ArrayLike<bigint>;

const VOXEL_TYPES: Record<number, VoxelArray> = {
  2: Uint8Array,
  4: Int16Array,
  8: Int32Array,
  16: Float32Array,
  64: Float64Array,
  256: Int8Array,
  512: Uint16Array,
  768: Uint32Array,
  1024: BigInt64Array,
  1280: BigUint64Array,
};
const COLOURS: Record<number, string> = { 128: "R, G, B", 2304: "R, G, B, A" };

export function isNiftiName(name: string): boolean {
  return /\.nii(\.gz)?$/i.test(name);
}

/** What of a NIfTI file's header its label map takes over. */
export interface NiftiSource {
  header: NiftiHeader;
  /** As stored, whether or not it counts. */
  sform: Affine;
  /** NIfTI-1, not NIfTI-2. */
  isFirst: boolean;
}

/**
 * Read a CT scan from a NIfTI file and canonicalise it.
 *
 * @throws InputError the file is truncated, no image of three dimensions, or lies nowhere plausible.
 */
export async function readNifti(file: File): Promise<{ volume: Volume; nifti: NiftiSource }> {
  const isGzip = /\.gz$/i.test(file.name);
  if (file.size === 0) throw truncated(file.name, "an empty file");
  if (isGzip) await checkGzip(file);
  const stream = ByteStream.of(file, isGzip);
  try {
    return await read(stream, file, isGzip);
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw truncated(file.name, error instanceof Error ? error.message : String(error));
  } finally {
    await stream.cancel();
  }
}

async function read(stream: ByteStream, file: File, isGzip: boolean) {
  const where = file.name;
  const { header, block } = await readHeaderOf(stream, where);
  const width = header.numBitsPerVoxel / 8;
  const makeArray = voxelType(header, where);
  const shape = threeAxes(header.dims.slice(1, header.dims[0] + 1));
  const misplaced: string[] = [];
  const isFirst = isNifti1(block);
  let offset = header.vox_offset;
  if (offset === 0) {
    offset = isFirst ? 352 : 544;
    misplaced.push(
      `the header says that its voxels begin at byte 0 (vox_offset); they were read from byte ${offset}`,
    );
  }
  const { geometry, doubts } = findPlace(header, block, shape as Triple, where);
  const claimed = offset + shape.reduce((product, size) => product * size, width);
  const held = file.size * (isGzip ? DEFLATE_RATIO : 1);
  if (claimed > held) {
    throw truncated(where, `${held} bytes at most, of ${claimed} that its header claims`);
  }
  const grid = new HuGrid(geometry, where);
  const usable = Number.isFinite(header.scl_slope) && header.scl_slope !== 0;
  const [slope, intercept] = usable ? [header.scl_slope, header.scl_inter] : [1, 0];
  await stream.skip(offset - block.byteLength);
  const lines = shape[1] * shape[2];
  const lineBytes = shape[0] * width;
  const atOnce = Math.max(1, Math.floor(CHUNK_BYTES / lineBytes));
  for (let first = 0; first < lines; first += atOnce) {
    const count = Math.min(atOnce, lines - first);
    const bytes = await stream.take(count * lineBytes);
    if (bytes === null) {
      throw truncated(where, `voxels up to slice ${Math.floor(first / shape[1])} of ${shape[2]}`);
    }
    if (!header.littleEndian) swapBytes(bytes, width);
    grid.putLines(first, plainNumbers(new makeArray(bytes.buffer)), slope, intercept);
  }
  await stream.finish();
  const volume: Volume = {
    hu: grid.hu,
    shape: geometry.shape,
    spacingMm: geometry.spacingMm,
    source: geometry.source,
    name: where.replace(/\.nii(\.gz)?$/i, ""),
    doubts: [...doubts, ...misplaced],
    notes: [],
  };
  return { volume, nifti: { header, sform: sformOf(block), isFirst } };
}

async function readHeaderOf(
  stream: ByteStream,
  where: string,
): Promise<{ header: NiftiHeader; block: ArrayBuffer }> {
  const first = await stream.take(4);
  if (first === null) throw truncated(where, "less than 4 bytes");
  const view = new DataView(first.buffer);
  const sizes = [view.getInt32(0, true), view.getInt32(0, false)];
  const size = [348, 540].find((each) => sizes.includes(each));
  if (size === undefined) throw noNifti(where, `first bytes ${[...first].join(" ")}`);
  const rest = await stream.take(size - 4);
  if (rest === null) throw truncated(where, `less than ${size} bytes`);
  const block = new Uint8Array(size);
  block.set(first);
  block.set(rest, 4);
  const magic = String.fromCharCode(...block.subarray(...(size === 348 ? [344, 346] : [4, 6])));
  if (magic !== "n+") {
    throw noNifti(where, "a header whose voxels lie in another file (.hdr and .img)");
  }
  // The reader wants to see what follows: that there is no extension.
  const whole = new Uint8Array(size + 4);
  whole.set(block);
  return { header: readHeader(whole.buffer) as NiftiHeader, block: block.buffer };
}

function voxelType(header: NiftiHeader, where: string): VoxelArray {
  const code = header.datatypeCode;
  const colours = COLOURS[code];
  if (colours !== undefined) {
    throw new InputError("the image is in colour", {
      where,
      got: `${colours.split(",").length} samples per voxel (${colours})`,
      expected: "one number per voxel, in HU",
      hint: "Give the CT itself, not a rendering of it",
    });
  }
  const found = VOXEL_TYPES[code];
  if (found !== undefined) return found;
  throw new InputError("the voxels are not plain numbers", {
    where,
    got: `NIfTI's data type ${code}`,
    expected: "integers or floats",
  });
}

function threeAxes(sizes: number[]): number[] {
  const shape = [...sizes];
  while (shape.length > 3 && shape[shape.length - 1] === 1) shape.pop();
  return shape;
}

function plainNumbers(values: ArrayLike<number> | ArrayLike<bigint>): ArrayLike<number> {
  return typeof values[0] === "bigint"
    ? Float64Array.from(values as ArrayLike<bigint>, Number)
    : (values as ArrayLike<number>);
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let at = 0; width > 1 && at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

async function checkGzip(file: File): Promise<void> {
  const magic = new Uint8Array(await file.slice(0, 2).arrayBuffer());
  if (magic[0] === 0x1f && magic[1] === 0x8b) return;
  throw noNifti(file.name, "its name says gzip, its first bytes do not");
}

function truncated(where: string, got: string): InputError {
  return new InputError("the file is truncated or damaged", {
    where,
    got,
    hint: "Copy or download it again",
  });
}

function noNifti(where: string, got: string): InputError {
  return new InputError("this is not a NIfTI image", {
    where,
    got,
    expected: "a .nii or .nii.gz file, or a folder of DICOM slices",
  });
}
