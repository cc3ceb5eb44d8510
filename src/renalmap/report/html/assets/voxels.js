// The packed scan: its slices are unpacked when they are needed, in time all of them, into one block of voxels.
const openVoxels = (data) => {
  "use strict";
  const [width, height, depth] = data.size;
  const area = width * height;
  const greys = new Uint8Array(area * depth);
  const labels = new Uint8Array(area * depth);
  const begun = new Map();
  const done = new Set();

  const inflate = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  // The inverse of `predict` in packing.py: each byte was stored less the mean of its left and upper neighbour.
  const unpredict = (bytes) => {
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        const left = x ? bytes[i - 1] : 0;
        const up = y ? bytes[i - width] : 0;
        bytes[i] += (left + up) >> 1;
      }
    }
    return bytes;
  };

  const unpack = async (z) => {
    greys.set(unpredict(await inflate(data.greys[z])), z * area);
    if (data.labels[z]) labels.set(await inflate(data.labels[z]), z * area);
    data.greys[z] = data.labels[z] = null; // the text is not needed again
    done.add(z);
  };

  const load = (z) => {
    if (!begun.has(z)) begun.set(z, unpack(z));
    return begun.get(z);
  };

  // Every slice, those nearest to the one shown first; tells now and then that there is more to see.
  const loadAll = async (shown, tell) => {
    let told = performance.now();
    while (done.size < depth) {
      let nearest = -1;
      for (let z = 0; z < depth; z += 1) {
        if (!done.has(z) && (nearest < 0 || Math.abs(z - shown()) < Math.abs(nearest - shown()))) nearest = z;
      }
      await load(nearest);
      if (performance.now() - told > 150 || done.size === depth) {
        tell();
        told = performance.now();
      }
    }
  };

  return { size: data.size, greys, labels, load, loadAll, complete: () => done.size === depth };
};
