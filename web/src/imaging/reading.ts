/** From what was dropped to a canonical volume (src/renalmap/imaging/reading.py). */

import { InputError } from "../errors";
import type { DroppedFile } from "../worker/protocol";
import { isNiftiName, type NiftiSource, readNifti } from "./nifti";
import type { Geometry } from "./orientation";
import type { Volume } from "./volume";

export interface Scan {
  volume: Volume;
  geometry: Geometry;
  /** Null for scans that were no NIfTI file. */
  nifti: NiftiSource | null;
}

/**
 * Read a scan: one NIfTI file, or DICOM files in a folder or a zip.
 *
 * @throws InputError they are no scan, or none that can be segmented.
 */
export async function readScan(
  files: readonly DroppedFile[],
  step: (done: number, total: number) => void,
): Promise<Scan> {
  if (files.length === 0) {
    throw new InputError("nothing was dropped", { expected: "a NIfTI file, a DICOM folder or a .zip" });
  }
  step(0, files.length);
  const niftis = files.filter(({ file }) => isNiftiName(file.name));
  if (niftis.length > 1) {
    throw new InputError("these are several scans", {
      got: `${niftis.length} NIfTI files`,
      expected: "one at a time",
    });
  }
  if (niftis.length === 1) {
    const { volume, nifti } = await readNifti(niftis[0].file);
    return { volume, geometry: volume, nifti };
  }
  const { readDicom } = await import("./dicom/reading");
  const volume = await readDicom(files, step);
  return { volume, geometry: volume, nifti: null };
}
