/** Reading DICOM: soon. */
import { InputError } from "../../errors";
import type { DroppedFile } from "../../worker/protocol";
import type { Volume } from "../volume";

export async function readDicom(
  _files: readonly DroppedFile[],
  _step: (done: number, total: number) => void,
): Promise<Volume> {
  throw new InputError("this page does not read DICOM yet", { hint: "Use the Python program" });
}
