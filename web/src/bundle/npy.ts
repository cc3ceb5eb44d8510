/** NumPy's array files, of floats in C order. */

import { BundleError } from "../errors";

const MAGIC = "\u0093NUMPY";

export function readNpy(content: Uint8Array, where: string): Float32Array | Float64Array {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const magic = Array.from(content.subarray(0, 6), (byte) => String.fromCharCode(byte)).join("");
  const wide = content[6] >= 2;
  const start = wide ? 12 : 10;
  if (magic !== MAGIC || content.length < start) throw unreadable(where, "no NumPy array");
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(content.subarray(start, start + length));
  const type = /'descr': '(<f[48])'/.exec(header)?.[1];
  const shape = /'shape': \(([\d, ]*)\)/.exec(header)?.[1];
  if (type === undefined || shape === undefined || !header.includes("'fortran_order': False")) {
    throw unreadable(where, header.trim());
  }
  const sizes = shape.split(",").filter((size) => size.trim() !== "");
  const count = sizes.reduce((product, size) => product * Number(size), 1);
  const bytes = content.slice(start + length);
  if (bytes.length !== count * (type === "<f4" ? 4 : 8)) {
    throw unreadable(where, `${bytes.length} bytes for (${shape}) ${type}`);
  }
  return type === "<f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

function unreadable(where: string, got: string): BundleError {
  return new BundleError("the slice statistics cannot be read", { where, got });
}
