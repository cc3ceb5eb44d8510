/** Reads a scan, segments it and reports; one scan in a worker's life, so that ending it cancels everything. */

import type { Bytes3, Triple } from "../arrays";
import { openBundle } from "../bundle/bundle";
import { BundleError, RenalMapError } from "../errors";
import { writeLabelMap } from "../imaging/nifti_writing";
import { readScan } from "../imaging/reading";
import { segment } from "../inference/cascade";
import { reportOn } from "../report";
import { gzip } from "./gzip";
import { NetworkPool } from "./pool";
import type { FromSegmenter, SegmentRequest, Stage } from "./protocol";

self.onmessage = async ({ data }: MessageEvent<SegmentRequest>) => {
  try {
    await work(data);
  } catch (error) {
    self.postMessage(errorMessage(error));
  }
};

async function work({ files, bundleUrl }: SegmentRequest): Promise<void> {
  const loading = load(bundleUrl);
  loading.catch(() => undefined); // it is thrown below
  const { volume, geometry, nifti } = await readScan(files, (done, total) =>
    progress("reading", done, total),
  );
  progress("loading", 0, 1);
  const { bundle, networks } = await loading;
  const found = await segment(volume, bundle, networks, progress);
  const message: FromSegmenter = {
    kind: "result",
    report: reportOn(volume, found, bundle),
    hu: volume.hu as Int16Array<ArrayBuffer>,
    labels: found.labels.data,
    shape: volume.shape,
    spacingMm: volume.spacingMm,
    start: middleOf(found.labels),
    labelMap: await gzip(writeLabelMap(found.labels, geometry, nifti)),
  };
  self.postMessage(message, {
    transfer: [message.hu.buffer, message.labels.buffer],
  });
}

async function load(bundleUrl: string) {
  const bundle = await openBundle(async (name) => {
    const answer = await fetch(new URL(name, bundleUrl));
    if (!answer.ok) {
      throw new BundleError("the bundle is incomplete", { where: name, got: `${answer.status}` });
    }
    return new Uint8Array(await answer.arrayBuffer());
  });
  return { bundle, networks: await NetworkPool.start(bundle) };
}

function middleOf(labels: Bytes3): Triple {
  const { start, stop } = labels.bounds() ?? { start: [0, 0, 0], stop: labels.shape };
  return start.map((low, axis) => (low + stop[axis]) >> 1) as Triple;
}

function progress(stage: Stage, done: number, total: number): void {
  self.postMessage({ kind: "progress", stage, done, total } satisfies FromSegmenter);
}

function errorMessage(error: unknown): FromSegmenter {
  if (error instanceof RenalMapError) {
    const { name, message, what, where, got, expected, hint } = error;
    return { kind: "error", name, message, what, details: { where, got, expected, hint } };
  }
  const name = error instanceof Error ? error.name : "Error";
  const got = error instanceof Error ? error.message : String(error);
  const what =
    error instanceof RangeError
      ? "the browser has too little memory"
      : "the scan could not be segmented";
  return { kind: "error", name, message: `${what} (${got})`, what, details: { got } };
}
