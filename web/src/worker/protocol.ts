/** What the page and its workers say to each other. */

import type { Triple } from "../arrays";
import type { ErrorDetails } from "../errors";
import type { Stage as NetworkStage } from "../inference/networks";
import type { Report } from "../report";

/** A file that was dropped, with its path below what was dropped. */
export interface DroppedFile {
  path: string;
  file: File;
}

export interface SegmentRequest {
  files: DroppedFile[];
  /** Folder of the bundle's files. */
  bundleUrl: string;
}

export type Stage = "reading" | "loading" | "stage 1" | "stage 2" | "following" | "rules";

export interface Segmented {
  kind: "result";
  report: Report;
  hu: Int16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
  labels: Uint8Array<ArrayBuffer>;
  shape: Triple;
  spacingMm: Triple;
  /** Where the viewer begins: the middle of what was found, or of the scan. */
  start: Triple;
  /** The label map as a NIfTI file on the scan's own grid, packed by gzip. */
  labelMap: Blob;
}

export type FromSegmenter =
  | { kind: "progress"; stage: Stage; done: number; total: number }
  | Segmented
  | { kind: "error"; name: string; message: string; what: string; details: ErrorDetails };

/** To a worker that runs networks: the graphs once, then images. */
export type ToNetwork =
  | { kind: "load"; graphs: Record<NetworkStage, Uint8Array<ArrayBuffer>> }
  | { kind: "run"; id: number; stage: NetworkStage; image: Float32Array; edge: number };

export type FromNetwork =
  | { kind: "ready" }
  | { kind: "done"; id: number; probabilities: Float32Array }
  | { kind: "failed"; id: number | null; message: string };
