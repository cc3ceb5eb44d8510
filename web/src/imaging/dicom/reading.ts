/** Reading a DICOM series and canonicalising it (src/renalmap/imaging/dicom/reading.py). */

import { InputError } from "../../errors";
import type { DroppedFile } from "../../worker/protocol";
import { HuGrid } from "../filling";
import type { Volume } from "../volume";
import { filesOfZip, isZip } from "./archive";
import { choose } from "./choice";
import { type DicomFile, isDicom, parse, readHeader, type Skipped, type SliceHeader } from "./headers";
import { decodeSlice } from "./pixels";
import { buildStack } from "./stack";

/** What systems put beside files. */
const ASIDE = /(^|\/)(DICOMDIR|\.DS_Store|Thumbs\.db|__MACOSX\/.*)$/i;

/**
 * Read the one series of what was dropped that is a CT scan.
 *
 * @throws InputError there is none, several could be meant, or it is no regular stack.
 */
export async function readDicom(
  dropped: readonly DroppedFile[],
  step: (done: number, total: number) => void,
): Promise<Volume> {
  const files = (await Promise.all(dropped.map(filesOf))).flat().filter(({ path }) => !ASIDE.test(path));
  const { slices, skipped, others } = await readHeaders(files, step);
  if (slices.length === 0 && skipped.length === 0) {
    throw new InputError("there is no scan in what was dropped", {
      got: `${others} files that are neither NIfTI nor DICOM`,
      expected: "a .nii or .nii.gz file, a folder of DICOM slices, or a .zip of them",
    });
  }
  const chosen = choose(slices, skipped);
  const stack = buildStack(chosen.slices);
  const { geometry } = stack;
  const grid = new HuGrid(geometry, dropped[0].path);
  const [{ rows }] = stack.slices;
  for (const [index, header] of stack.slices.entries()) {
    const [slope, intercept] = header.rescale ?? [1, 0];
    grid.putLines(index * rows, await decodeSlice(header), slope, intercept);
    step(files.length + index + 1, files.length + stack.slices.length);
  }
  return {
    hu: grid.hu,
    shape: geometry.shape,
    spacingMm: geometry.spacingMm,
    source: geometry.source,
    name: nameOf(dropped),
    doubts: [],
    notes: [
      ...unscaledNotes(stack.slices),
      ...severalNotes(stack.slices),
      ...stack.notes,
      ...chosen.notes,
    ],
  };
}

async function filesOf(dropped: DroppedFile): Promise<DicomFile[]> {
  if (isZip(dropped)) return filesOfZip(dropped);
  const read = async () => new Uint8Array(await dropped.file.arrayBuffer());
  return [{ path: dropped.path, read }];
}

async function readHeaders(files: readonly DicomFile[], step: (done: number, total: number) => void) {
  const slices: SliceHeader[] = [];
  const skipped: Skipped[] = [];
  let others = 0;
  for (const [index, file] of files.entries()) {
    const bytes = await file.read();
    if (bytes.length === 0) {
      throw new InputError("a file is empty, so a slice may be missing", {
        where: file.path,
        hint: "Copy or export it again",
      });
    }
    if (isDicom(bytes)) {
      const found = readHeader(parse(bytes, file), file);
      if ("reason" in found) skipped.push(found);
      else slices.push(found);
    } else {
      others += 1;
    }
    step(index + 1, 2 * files.length);
  }
  return { slices, skipped, others };
}

function unscaledNotes(slices: readonly SliceHeader[]): string[] {
  const unscaled = slices.filter((each) => each.rescale === null).length;
  if (unscaled === 0) return [];
  return [
    `${unscaled} of ${slices.length} slices have no RescaleSlope and RescaleIntercept; ` +
      "their stored values were taken as Hounsfield units",
  ];
}

function severalNotes(slices: readonly SliceHeader[]): string[] {
  const named: [string, Set<string>][] = [
    ["patients", new Set(slices.map((each) => each.patient))],
    ["kernels", new Set(slices.map((each) => each.kernel))],
  ];
  return named
    .filter(([, values]) => values.size > 1)
    .map(([what, values]) => `the slices of the series name ${values.size} ${what}`);
}

function nameOf([{ path, file }]: readonly DroppedFile[]): string {
  return path.includes("/") ? path.split("/")[0] : file.name.replace(/\.(zip|dcm)$/i, "");
}
