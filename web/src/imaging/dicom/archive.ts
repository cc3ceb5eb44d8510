/** The members of a dropped zip, unpacked one at a time (src/renalmap/imaging/dicom_files/archive.py). */

import { type UnzipFileInfo, unzipSync } from "fflate";
import { InputError } from "../../errors";
import type { DroppedFile } from "../../worker/protocol";
import type { DicomFile } from "./headers";

const MOST_FILES = 20_000;
const MOST_BYTES = 4 * 2 ** 30;
const MOST_RATIO = 100;
const RATIO_FROM_BYTES = 64 * 2 ** 20;

export function isZip({ file }: DroppedFile): boolean {
  return /\.zip$/i.test(file.name);
}

/**
 * The files in a zip.
 *
 * @throws InputError it is damaged, or unpacks to more than a scan can.
 */
export async function filesOfZip(dropped: DroppedFile): Promise<DicomFile[]> {
  const where = dropped.path;
  const packed = new Uint8Array(await dropped.file.arrayBuffer());
  const members: UnzipFileInfo[] = [];
  unzip(packed, where, (member) => {
    if (!member.name.endsWith("/")) members.push(member);
    return false;
  });
  const bytes = members.reduce((sum, member) => sum + member.originalSize, 0);
  const isTrap = bytes > RATIO_FROM_BYTES && bytes > MOST_RATIO * packed.length;
  if (bytes > MOST_BYTES || members.length > MOST_FILES || isTrap) {
    throw new InputError("the archive unpacks to more than a scan can", {
      where,
      got: `${members.length} files of ${bytes} bytes in all, out of ${packed.length}`,
    });
  }
  return members.map(({ name }) => ({
    path: `${where}/${name}`,
    read: async () => {
      const found = unzip(packed, where, (member) => member.name === name)[name];
      return found as Uint8Array<ArrayBuffer>;
    },
  }));
}

function unzip(
  packed: Uint8Array,
  where: string,
  filter: (member: UnzipFileInfo) => boolean,
): Record<string, Uint8Array> {
  try {
    return unzipSync(packed, { filter });
  } catch (error) {
    throw new InputError("the archive is damaged or of another kind", {
      where,
      got: error instanceof Error ? error.message : String(error),
      expected: "a .zip without a password",
      hint: "Copy or export it again",
    });
  }
}
