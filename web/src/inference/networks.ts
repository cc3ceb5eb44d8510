/** What runs the two networks. Labels do not depend on how many images it takes at once. */

export type Stage = "localizer" | "segmenter";

export interface Networks {
  /** How many images are worth having in flight. */
  readonly lanes: number;
  /** Probabilities (classes, edge, edge) of a normalised square image. */
  run(stage: Stage, image: Float32Array, edge: number): Promise<Float32Array>;
}

/** Each input with its result, in the inputs' order, with a few of them in flight. */
export async function* mapAhead<Input, Output>(
  work: (input: Input) => Promise<Output>,
  inputs: Iterable<Input>,
  lanes: number,
): AsyncGenerator<[Input, Output]> {
  const waiting: [Input, Promise<Output>][] = [];
  for (const input of inputs) {
    const started = work(input);
    started.catch(() => undefined); // it is thrown where its turn comes
    waiting.push([input, started]);
    if (waiting.length > lanes) yield await settled(waiting);
  }
  while (waiting.length > 0) yield await settled(waiting);
}

async function settled<Input, Output>(waiting: [Input, Promise<Output>][]): Promise<[Input, Output]> {
  const [input, output] = waiting.shift() as [Input, Promise<Output>];
  return [input, await output];
}

/** A network's probabilities averaged over an image and its mirror image, left to right. */
export async function flipAveraged(
  networks: Networks,
  stage: Stage,
  image: Float32Array,
  edge: number,
): Promise<Float32Array> {
  const [straight, mirrored] = await Promise.all([
    networks.run(stage, image, edge),
    networks.run(stage, mirror(image, edge), edge),
  ]);
  const back = mirror(mirrored, edge);
  return straight.map((value, index) => Math.fround(value + back[index]) * 0.5);
}

function mirror(values: Float32Array, columns: number): Float32Array {
  const mirrored = values.slice();
  for (let at = 0; at < values.length; at += columns) mirrored.subarray(at, at + columns).reverse();
  return mirrored;
}
