/** The page: a scan is dropped, a worker segments it, the result is shown. */

import { chosenFiles, droppedFiles } from "./page/dropped";
import { element } from "./page/elements";
import { showResult } from "./page/result";
import { Viewer } from "./page/viewer";
import type { DroppedFile, FromSegmenter, SegmentRequest, Stage } from "./worker/protocol";
import script from "./worker/segment.worker?worker&url";
import { startWorker } from "./worker/start";

const STAGE_NAMES: Record<Stage, string> = {
  reading: "Reading the scan",
  loading: "Loading the networks",
  "stage 1": "Looking for kidneys",
  "stage 2": "Outlining kidneys and tumours",
  following: "Following kidneys through the scan",
  rules: "Checking what was found",
};

const viewer = new Viewer();
const [drop, work, result, error] = ["drop", "work", "result", "error"].map((id) =>
  element(id, HTMLElement),
);
const bar = element("progress", HTMLProgressElement);
const stage = element("stage", HTMLElement);
let worker: Worker | null = null;

for (const id of ["file", "folder"]) {
  const input = element(id, HTMLInputElement);
  input.addEventListener("change", () => {
    start(chosenFiles(input));
    input.value = ""; // so that the same scan can be chosen again
  });
}
element("cancel", HTMLButtonElement).addEventListener("click", () => {
  stop();
  element("file", HTMLInputElement).focus();
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", () => drop.classList.remove("over"));
addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer !== null) start(await droppedFiles(event.dataTransfer));
});

// Only where browsers have it: on pages that came by HTTPS or from this computer.
navigator.serviceWorker?.register(new URL("sw.js", document.baseURI)).catch(() => undefined);

/** Segment a scan in a worker of its own; one that still runs ends. */
function start(files: DroppedFile[]): void {
  stop();
  error.hidden = true;
  result.hidden = true;
  work.hidden = false;
  showProgress("reading", 0, 0);
  worker = startWorker(script);
  worker.onmessage = ({ data }: MessageEvent<FromSegmenter>) => receive(data);
  worker.onerror = (event) => fail(event.message || "the page's worker could not be started");
  const bundleUrl = new URL("bundle/", document.baseURI).href;
  worker.postMessage({ files, bundleUrl } satisfies SegmentRequest);
}

function stop(): void {
  worker?.terminate();
  worker = null;
  work.hidden = true;
}

function receive(message: FromSegmenter): void {
  if (message.kind === "progress") {
    showProgress(message.stage, message.done, message.total);
  } else if (message.kind === "error") {
    fail(message.message);
  } else {
    stop();
    result.hidden = false;
    showResult(message);
    viewer.show(message);
    element("canvas", HTMLCanvasElement).focus();
  }
}

function fail(message: string): void {
  stop();
  error.textContent = message;
  error.hidden = false;
}

function showProgress(name: Stage, done: number, total: number): void {
  const text = `${STAGE_NAMES[name]} …`;
  if (stage.textContent !== text) stage.textContent = text; // said once by a screen reader
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else {
    bar.removeAttribute("value");
  }
}
