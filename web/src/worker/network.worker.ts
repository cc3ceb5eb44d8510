/** Runs both networks on one thread. */

import wasm from "onnxruntime-web/ort-wasm-simd-threaded.wasm?url";
import * as ort from "onnxruntime-web/wasm";
import type { Stage } from "../inference/networks";
import type { FromNetwork, ToNetwork } from "./protocol";

ort.env.wasm.numThreads = 1; // one slice per thread: several workers are faster than several threads on one slice
ort.env.wasm.wasmPaths = { wasm: new URL(wasm, import.meta.url).href };

const sessions = new Map<Stage, ort.InferenceSession>();

self.onmessage = async ({ data }: MessageEvent<ToNetwork>) => {
  try {
    if (data.kind === "load") {
      await load(data.graphs);
      return reply({ kind: "ready" });
    }
    const probabilities = await run(data.stage, data.image, data.edge);
    reply({ kind: "done", id: data.id, probabilities });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    reply({ kind: "failed", id: data.kind === "run" ? data.id : null, message });
  }
};

function reply(message: FromNetwork): void {
  self.postMessage(message, {
    transfer: message.kind === "done" ? [message.probabilities.buffer as ArrayBuffer] : [],
  });
}

async function load(graphs: Record<Stage, Uint8Array>): Promise<void> {
  for (const [stage, graph] of Object.entries(graphs)) {
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 } as const;
    sessions.set(stage as Stage, await ort.InferenceSession.create(graph, options));
  }
}

async function run(stage: Stage, image: Float32Array, edge: number): Promise<Float32Array> {
  const session = sessions.get(stage);
  if (session === undefined) throw new Error(`no ${stage} was loaded`);
  const input = new ort.Tensor("float32", image, [1, 1, edge, edge]);
  const outputs = await session.run({ image: input });
  const { data, dims } = outputs.probabilities;
  const values = data as Float32Array;
  const classes = stage === "localizer" ? 1 : 3;
  const fits = dims.join() === [1, classes, edge, edge].join();
  if (!fits || !values.every((value) => value >= -1e-4 && value <= 1 + 1e-4)) {
    throw new Error(`the ${stage} gave something else than probabilities, in shape ${dims.join(" x ")}`);
  }
  return values.slice();
}
