/** The bundle: the model folder, verified by hash before it is used (src/renalmap/bundle.py). */

import { unzipSync } from "fflate";
import { BundleError } from "../errors";
import { readNpy } from "./npy";
import { type Plan, parsePlan } from "./plan";

export interface SliceStatistics {
  meanHu: Float32Array;
  deviationHu: Float32Array;
  globalMeanHu: number;
  globalDeviationHu: number;
}

export interface Bundle {
  plan: Plan;
  statistics: SliceStatistics;
  localizer: Uint8Array<ArrayBuffer>;
  segmenter: Uint8Array<ArrayBuffer>;
  /** SHA-256 of SHA256SUMS: names the bundle's whole content. Empty where the page cannot compute it. */
  digest: string;
}

const FILES = ["localizer.onnx", "segmenter.onnx", "plan.json", "slice_statistics.npz"] as const;
type File = (typeof FILES)[number];

/** Fetches a file of the bundle by its name. */
export type ReadFile = (name: string) => Promise<Uint8Array<ArrayBuffer>>;

/**
 * Open a bundle and verify its files.
 *
 * @throws BundleError a file is missing, was changed, or asks for something that this page does not do.
 */
export async function openBundle(read: ReadFile): Promise<Bundle> {
  const sums = await read("SHA256SUMS");
  const contents = await Promise.all(FILES.map((name) => read(name)));
  const files = Object.fromEntries(FILES.map((name, index) => [name, contents[index]])) as Record<
    File,
    Uint8Array<ArrayBuffer>
  >;
  const expected = parseSums(new TextDecoder().decode(sums));
  for (const name of FILES) await verify(name, files[name], expected);
  const plan = parsePlan(new TextDecoder().decode(files["plan.json"]));
  return {
    plan,
    statistics: readStatistics(files["slice_statistics.npz"], plan),
    localizer: files["localizer.onnx"],
    segmenter: files["segmenter.onnx"],
    digest: (await sha256(sums)) ?? "",
  };
}

function parseSums(text: string): Map<string, string> {
  const lines = text.split("\n").filter((line) => line !== "");
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}

async function verify(
  name: string,
  content: Uint8Array<ArrayBuffer>,
  expected: Map<string, string>,
): Promise<void> {
  const got = await sha256(content);
  const wanted = expected.get(name);
  if (wanted !== undefined && (got === null || got === wanted)) return;
  throw new BundleError("a file of the bundle was changed or damaged", {
    where: name,
    got: `SHA-256 ${got?.slice(0, 16)}…`,
    expected: `${wanted?.slice(0, 16) ?? "no hash"}…`,
    hint: "Build or copy the site again",
  });
}

/** Hex digits; null where browsers offer no hash: on pages that came neither by HTTPS nor from this computer. */
async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string | null> {
  if (globalThis.crypto?.subtle === undefined) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function readStatistics(content: Uint8Array, plan: Plan): SliceStatistics {
  const where = "slice_statistics.npz";
  const arrays = unzipSync(content);
  const array = (name: string): Float64Array | Float32Array => {
    const member = arrays[`${name}.npy`];
    if (member === undefined) {
      throw new BundleError("the slice statistics cannot be read", { where, got: `no ${name}` });
    }
    return readNpy(member, where);
  };
  const [meanHu, deviationHu] = [array("mean_hu"), array("deviation_hu")];
  const [globalMeanHu] = array("global_mean_hu");
  const [globalDeviationHu] = array("global_deviation_hu");
  const slices = [meanHu, deviationHu];
  const finite = [...slices, [globalMeanHu, globalDeviationHu]].every((each) =>
    (each as Float32Array).every(Number.isFinite),
  );
  if (!finite || slices.some((each) => each.length !== plan.grid_size ** 2)) {
    throw new BundleError("the slice statistics do not fit the bundle's Plan", {
      where,
      got: `slices of ${meanHu.length} and ${deviationHu.length} pixels${finite ? "" : ", not all of them numbers"}`,
      expected: `finite slices of ${plan.grid_size ** 2}`,
    });
  }
  return {
    meanHu: Float32Array.from(meanHu),
    deviationHu: Float32Array.from(deviationHu),
    globalMeanHu,
    globalDeviationHu,
  };
}
