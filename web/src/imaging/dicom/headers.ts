/** What a DICOM file says about itself (src/renalmap/imaging/dicom/reading_headers.py and kinds.py). */

import dicomParser, { type DataSet } from "dicom-parser";
import { inflateSync } from "fflate";
import type { Pair, Triple } from "../../arrays";
import { InputError } from "../../errors";
import { cross, dot } from "./vectors";

const CT_CLASSES = [
  "1.2.840.10008.5.1.4.1.1.2",
  "1.2.840.10008.5.1.4.1.1.2.1",
  "1.2.840.10008.5.1.4.1.1.2.2",
];
const SCOUTS = ["LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"];
const PROJECTION = /MIP|\bM(AX|IN|N) ?IP\b|PROJECTION|RENDER|\b(VRT|VR|SSD|CPR)\b|3D EDITOR/;
/** Orientation vectors may miss a right angle, and length 1, by this. */
const SQUARE = 0.05;
const PIXEL_DATA = "x7fe00010";
const MAGIC = "DICM";

/** A file's content, read when it is needed: twice, for the header and for the pixels. */
export interface DicomFile {
  path: string;
  read: () => Promise<Uint8Array<ArrayBuffer>>;
}

/** One slice, without its pixels. */
export interface SliceHeader {
  file: DicomFile;
  name: string;
  study: string;
  series: string;
  seriesNumber: number | null;
  description: string;
  patient: string;
  frameOfReference: string;
  instance: string;
  instanceNumber: number | null;
  acquisition: number | null;
  imageType: string[];
  kernel: string;
  rows: number;
  columns: number;
  /** Between (rows, columns). */
  spacingMm: Pair;
  thicknessMm: number | null;
  /** The centre of the first pixel, DICOM's LPS axes. */
  positionMm: Triple;
  /** Unit vectors along a row and along a column. */
  orientation: [Triple, Triple];
  normal: Triple;
  /** Slope and intercept to HU; null if the file says neither. */
  rescale: Pair | null;
}

/** A DICOM object that is not a slice to segment. */
export interface Skipped {
  file: DicomFile;
  reason: string;
}

export function isDicom(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(128, 132)) === MAGIC;
}

/**
 * A file's data set; with its pixels, if `undecodable` says what is wrong if these are cut off.
 *
 * @throws InputError it is damaged.
 */
export function parse(
  bytes: Uint8Array,
  file: DicomFile,
  undecodable?: (file: DicomFile, got: string) => InputError,
): DataSet {
  try {
    return dicomParser.parseDicom(bytes, {
      ...(undecodable === undefined ? { untilTag: PIXEL_DATA } : {}),
      inflater: (packed: Uint8Array, position: number) => {
        const rest = inflateSync(packed.subarray(position));
        const whole = new Uint8Array(position + rest.length);
        whole.set(packed.subarray(0, position));
        whole.set(rest, position);
        return whole;
      },
    } as dicomParser.ParseDicomOptions);
  } catch (error) {
    const got =
      error instanceof Error ? error.message : String((error as { exception?: string }).exception);
    throw (undecodable ?? damaged)(file, got);
  }
}

function damaged(file: DicomFile, got: string): InputError {
  return new InputError("a DICOM file is truncated or damaged", {
    where: file.path,
    got,
    hint: "Copy or export it again",
  });
}

/** The slice that a file holds, or why it holds none. */
export function readHeader(data: DataSet, file: DicomFile): SliceHeader | Skipped {
  const reason = whyNoSlice(data);
  if (reason !== null) return { file, reason };
  const [y, x] = numbers(data, "x00280030", 2, file);
  const cosines = numbers(data, "x00200037", 6, file);
  const orientation: [Triple, Triple] = [cosines.slice(0, 3) as Triple, cosines.slice(3) as Triple];
  if (Math.min(y, x) <= 0) throw damaged(file, `PixelSpacing is ${y}, ${x}`);
  const [across, down] = orientation;
  const off = [dot(across, across) - 1, dot(down, down) - 1, dot(across, down)];
  if (off.some((each) => Math.abs(each) > SQUARE)) {
    throw damaged(file, "ImageOrientationPatient is not two unit vectors at a right angle");
  }
  const slope = data.floatString("x00281053");
  const intercept = data.floatString("x00281052");
  return {
    file,
    name: file.path.split("/").pop() ?? file.path,
    study: data.string("x0020000d") ?? "",
    series: data.string("x0020000e") ?? "",
    seriesNumber: data.intString("x00200011") ?? null,
    description: data.string("x0008103e") ?? "",
    patient: `${data.string("x00100020")}^${data.string("x00100010")}`,
    frameOfReference: data.string("x00200052") ?? "",
    instance: data.string("x00080018") ?? file.path,
    instanceNumber: data.intString("x00200013") ?? null,
    acquisition: data.intString("x00200012") ?? null,
    imageType: imageTypeOf(data),
    kernel: data.string("x00181210") ?? "",
    rows: data.uint16("x00280010") ?? 0,
    columns: data.uint16("x00280011") ?? 0,
    spacingMm: [y, x],
    thicknessMm: data.floatString("x00180050") ?? null,
    positionMm: numbers(data, "x00200032", 3, file) as Triple,
    orientation,
    normal: cross(across, down),
    rescale: slope === undefined && intercept === undefined ? null : [slope ?? 1, intercept ?? 0],
  };
}

/** Whether a slice's values are not those of one place: maximum intensities, renderings. */
export function isProjection({ imageType }: SliceHeader): boolean {
  return imageType.some((value) => PROJECTION.test(value.replaceAll("_", " ")));
}

/** Why a DICOM object is not a CT slice; null if it is. */
function whyNoSlice(data: DataSet): string | null {
  const sopClass = data.string("x00080016") ?? "";
  const modality = (data.string("x00080060") ?? "").toUpperCase();
  const imageType = imageTypeOf(data);
  if (sopClass.startsWith("1.2.840.10008.5.1.4.1.1.88.")) return "report, not an image";
  if (sopClass.startsWith("1.2.840.10008.5.1.4.1.1.7")) return "secondary capture";
  if (modality !== "CT" && modality !== "") return `${modality}, not CT`;
  if (!data.uint16("x00280010")) return "no image";
  if ((data.uint16("x00280002") ?? 1) > 1) return "in colour";
  if ((data.intString("x00280008") ?? 1) > 1) return "multi-frame: this page reads one slice a file";
  if (sopClass !== "" && !CT_CLASSES.includes(sopClass)) return "another kind of object, not a CT image";
  if (imageType.some((value) => SCOUTS.includes(value))) return "scout";
  const needed: [string, string, number][] = [
    ["ImagePositionPatient", "x00200032", 3],
    ["ImageOrientationPatient", "x00200037", 6],
    ["PixelSpacing", "x00280030", 2],
  ];
  const lacking = needed.filter(([, tag, count]) => data.numStringValues(tag) !== count);
  if (lacking.length > 0 && imageType.includes("SECONDARY")) {
    return "no position in the patient (a screenshot)";
  }
  return lacking.length > 0 ? `no ${lacking.map(([name]) => name).join(", ")}` : null;
}

function imageTypeOf(data: DataSet): string[] {
  return (data.string("x00080008") ?? "").split("\\").map((value) => value.trim().toUpperCase());
}

function numbers(data: DataSet, tag: string, count: number, file: DicomFile): number[] {
  const values = Array.from({ length: count }, (_, index) => data.floatString(tag, index) ?? Number.NaN);
  if (values.every(Number.isFinite)) return values;
  throw damaged(file, `${tag.slice(1)} is ${data.string(tag)}`);
}
