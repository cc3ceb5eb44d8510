/** DICOM's run-length encoding, PS3.5 annex G. */

const HEADER_BYTES = 64;

/** The pixels of a frame of one sample, little endian. */
export function decodeRle(
  frame: Uint8Array<ArrayBuffer>,
  pixels: number,
  width: number,
): Uint8Array<ArrayBuffer> {
  const header = new DataView(frame.buffer, frame.byteOffset, HEADER_BYTES);
  const segments = header.getUint32(0, true);
  if (segments !== width) throw new Error(`${segments} RLE segments for pixels of ${width} bytes`);
  const decoded = new Uint8Array(pixels * width);
  for (let segment = 0; segment < segments; segment += 1) {
    const start = header.getUint32(4 + 4 * segment, true);
    const stop = segment + 1 < segments ? header.getUint32(8 + 4 * segment, true) : frame.length;
    const bytes = unpack(frame.subarray(start, stop), pixels);
    // The first segment holds the most significant bytes.
    for (let at = 0; at < pixels; at += 1) decoded[at * width + width - 1 - segment] = bytes[at];
  }
  return decoded;
}

function unpack(packed: Uint8Array, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let [from, to] = [0, 0];
  while (to < count) {
    if (from >= packed.length) throw new Error(`RLE ends after ${to} of ${count} bytes`);
    const control = packed[from];
    if (control < 128) {
      const literal = packed.subarray(from + 1, from + 2 + Math.min(control, count - to - 1));
      bytes.set(literal, to);
      to += control + 1;
      from += control + 2;
    } else if (control > 128) {
      bytes.fill(packed[from + 1], to, to + 257 - control);
      to += 257 - control;
      from += 2;
    } else {
      from += 1;
    }
  }
  return bytes;
}
