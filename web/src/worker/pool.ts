/** Several workers that run the networks, each an image at a time. */

import type { Bundle } from "../bundle/bundle";
import { BundleError } from "../errors";
import type { Networks, Stage } from "../inference/networks";
import script from "./network.worker?worker&url";
import type { FromNetwork, ToNetwork } from "./protocol";
import { startWorker } from "./start";

/** More workers take memory for little: a scan's slices are soon examined. */
const MOST_WORKERS = 4;

interface Job {
  message: Extract<ToNetwork, { kind: "run" }>;
  resolve: (probabilities: Float32Array) => void;
  reject: (error: Error) => void;
}

export class NetworkPool implements Networks {
  private readonly idle: Worker[] = [];
  private readonly waiting: Job[] = [];
  private readonly running = new Map<Worker, Job>();
  private next = 0;

  private constructor(readonly lanes: number) {}

  /**
   * Start workers and load the graphs.
   *
   * @throws BundleError a graph cannot be loaded.
   */
  static async start({ localizer, segmenter }: Bundle): Promise<NetworkPool> {
    const lanes = Math.min(MOST_WORKERS, Math.max(1, navigator.hardwareConcurrency || 1));
    const pool = new NetworkPool(lanes);
    const graphs = { localizer, segmenter };
    await Promise.all(Array.from({ length: lanes }, () => pool.addWorker(graphs)));
    return pool;
  }

  run(stage: Stage, image: Float32Array, edge: number): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.next += 1;
      const message = { kind: "run", id: this.next, stage, image, edge } as const;
      this.waiting.push({ message, resolve, reject });
      this.giveOut();
    });
  }

  private addWorker(graphs: Record<Stage, Uint8Array<ArrayBuffer>>): Promise<void> {
    const worker = startWorker(script);
    return new Promise((resolve, reject) => {
      worker.onerror = (event) => reject(unusable(event.message));
      worker.onmessage = ({ data }: MessageEvent<FromNetwork>) => {
        if (data.kind === "ready") {
          this.idle.push(worker);
          resolve();
          this.giveOut();
        } else if (data.kind === "failed" && data.id === null) {
          reject(unusable(data.message));
        } else {
          this.finish(worker, data);
        }
      };
      worker.postMessage({ kind: "load", graphs } satisfies ToNetwork);
    });
  }

  private finish(worker: Worker, data: FromNetwork): void {
    const job = this.running.get(worker);
    this.running.delete(worker);
    this.idle.push(worker);
    if (data.kind === "done") job?.resolve(data.probabilities);
    if (data.kind === "failed") job?.reject(unusable(data.message));
    this.giveOut();
  }

  private giveOut(): void {
    while (this.idle.length > 0 && this.waiting.length > 0) {
      const worker = this.idle.pop() as Worker;
      const job = this.waiting.shift() as Job;
      this.running.set(worker, job);
      worker.postMessage(job.message);
    }
  }
}

function unusable(got: string): BundleError {
  return new BundleError("a network could not be run", {
    got,
    hint: "Reload the page, or use another browser",
  });
}
