/** Decoding the pixels of slices (src/renalmap/imaging/dicom/pixels.py and padding.py). */

import dicomParser, { type DataSet } from "dicom-parser";
import { InputError } from "../../errors";
import { roundHalfEven } from "../../numbers";
import { HIGHEST_AIR_HU } from "../hounsfield";
import { decodeJpeg2000, decodeJpegLs } from "./codecs";
import { type DicomFile, parse, type SliceHeader } from "./headers";
import { decodeRle } from "./rle";

const AIR_HU = -1024;
const BONE_FROM_HU = 300;
const NATIVE: Record<string, "little" | "big"> = {
  "": "little",
  "1.2.840.10008.1.2": "little",
  "1.2.840.10008.1.2.1": "little",
  "1.2.840.10008.1.2.1.99": "little",
  "1.2.840.10008.1.2.2": "big",
};
const RLE = "1.2.840.10008.1.2.5";
const JPEG_LS = ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"];
const JPEG_2000 = ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"];

export type Samples = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;

interface Format {
  bitsAllocated: number;
  bitsStored: number;
  isSigned: boolean;
}

/**
 * A slice's stored values, with air for padding that is brighter.
 *
 * @throws InputError the pixels are damaged, or compressed in a way that this page does not unpack.
 */
export async function decodeSlice(header: SliceHeader): Promise<Int32Array> {
  const { file, rows, columns } = header;
  const data = parse(await file.read(), file, undecodable);
  const format: Format = {
    bitsAllocated: data.uint16("x00280100") ?? 16,
    bitsStored: data.uint16("x00280101") ?? data.uint16("x00280100") ?? 16,
    isSigned: data.uint16("x00280103") === 1,
  };
  const samples = await decode(data, header, format);
  if (samples.length < rows * columns) {
    throw undecodable(file, `${samples.length} pixels of ${rows} x ${columns}`);
  }
  // What lies above the stored bits, such as an overlay, is no value.
  const unused = 32 - format.bitsStored;
  const pixels = Int32Array.from(samples.subarray(0, rows * columns), (value) =>
    format.isSigned ? (value << unused) >> unused : ((value << unused) >>> unused) | 0,
  );
  fillPadding(pixels, data, format, header);
  return pixels;
}

async function decode(
  data: DataSet,
  { file, rows, columns }: SliceHeader,
  format: Format,
): Promise<Samples> {
  const syntax = data.string("x00020010") ?? "";
  const element = data.elements.x7fe00010;
  if (element === undefined) throw undecodable(file, "no pixels");
  if (syntax in NATIVE) {
    const bytes = data.byteArray.slice(element.dataOffset, element.dataOffset + element.length);
    return samplesOf(Uint8Array.from(bytes), format, NATIVE[syntax]);
  }
  try {
    const frame = Uint8Array.from(frameOf(data));
    if (syntax === RLE) {
      return samplesOf(decodeRle(frame, rows * columns, format.bitsAllocated / 8), format, "little");
    }
    if (JPEG_LS.includes(syntax)) return samplesOf(await decodeJpegLs(frame), format, "little");
    if (JPEG_2000.includes(syntax)) return samplesOf(await decodeJpeg2000(frame), format, "little");
  } catch (error) {
    throw undecodable(file, error instanceof Error ? error.message : `the decoder gave up (${error})`);
  }
  throw new InputError("this page does not unpack this kind of compressed DICOM", {
    where: file.path,
    got: `transfer syntax ${syntax}`,
    expected: "none, RLE, JPEG-LS or JPEG 2000",
    hint: "Decompress it (dcmdjpeg, gdcmconv --raw)",
  });
}

function undecodable(file: DicomFile, got: string): InputError {
  return new InputError("the pixels cannot be decoded; the file is truncated or damaged", {
    where: file.path,
    got,
    hint: "Copy or export it again",
  });
}

/** The only frame's compressed bytes, joined where they were split. */
function frameOf(data: DataSet): ArrayLike<number> {
  const element = data.elements.x7fe00010;
  const fragments = element.fragments ?? [];
  return dicomParser.readEncapsulatedPixelDataFromFragments(data, element, 0, fragments.length);
}

function samplesOf(bytes: Uint8Array<ArrayBuffer>, format: Format, order: "little" | "big"): Samples {
  const { bitsAllocated, isSigned } = format;
  const width = bitsAllocated / 8;
  if (order === "big" && width > 1) {
    for (let at = 0; at + width <= bytes.length; at += width) bytes.subarray(at, at + width).reverse();
  }
  const whole = bytes.buffer.slice(0, bytes.length - (bytes.length % width));
  if (bitsAllocated === 8) return isSigned ? new Int8Array(whole) : new Uint8Array(whole);
  if (bitsAllocated === 16) return isSigned ? new Int16Array(whole) : new Uint16Array(whole);
  if (bitsAllocated === 32) return isSigned ? new Int32Array(whole) : new Uint32Array(whole);
  throw new Error(`${bitsAllocated} bits a pixel`);
}

/** Air for padding that would pass for bone or metal; DICOM PS3.3 C.7.5.1.1.2. */
function fillPadding(pixels: Int32Array, data: DataSet, format: Format, header: SliceHeader): void {
  const value = data.uint16("x00280120");
  const [slope, intercept] = header.rescale ?? [1, 0];
  if (value === undefined || slope <= 0) return;
  const size = 2 ** format.bitsStored;
  const first = format.isSigned ? -size / 2 : 0;
  const ends = [value, data.uint16("x00280121") ?? value].map(
    (end) => ((((end - first) % size) + size) % size) + first,
  );
  const [lowest, highest] = [Math.min(...ends), Math.max(...ends)];
  if (highest * slope + intercept <= HIGHEST_AIR_HU || lowest * slope + intercept < BONE_FROM_HU) return;
  const bits = 2 ** format.bitsAllocated;
  const [least, most] = format.isSigned ? [-bits / 2, bits / 2 - 1] : [0, bits - 1];
  const air = Math.min(Math.max(roundHalfEven((AIR_HU - intercept) / slope), least), most);
  for (let at = 0; at < pixels.length; at += 1) {
    if (pixels[at] >= lowest && pixels[at] <= highest) pixels[at] = air;
  }
}
