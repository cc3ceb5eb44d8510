/** CharLS and OpenJPEG as WASM, loaded when the first slice needs them. */

import charlsWasm from "@cornerstonejs/codec-charls/decodewasm?url";
import openjpegWasm from "@cornerstonejs/codec-openjpeg/decodewasm?url";

interface Decoder {
  getEncodedBuffer(length: number): Uint8Array;
  getDecodedBuffer(): Uint8Array;
  decode(): void;
  delete(): void;
}

type Codec = Record<string, new () => Decoder>;
type MakeCodec = (options: { locateFile: () => string; print: () => void }) => Promise<Codec>;

let charls: Promise<Codec> | null = null;
let openjpeg: Promise<Codec> | null = null;

/** A JPEG-LS image's samples, little endian. */
export async function decodeJpegLs(frame: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  charls ??= load(import("@cornerstonejs/codec-charls/decodewasmjs"), charlsWasm);
  return run((await charls).JpegLSDecoder, frame);
}

/** A JPEG 2000 image's samples, little endian. */
export async function decodeJpeg2000(frame: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  openjpeg ??= load(import("@cornerstonejs/codec-openjpeg/decodewasmjs"), openjpegWasm);
  return run((await openjpeg).J2KDecoder, frame);
}

async function load(module: Promise<{ default: MakeCodec }>, wasm: string): Promise<Codec> {
  const url = new URL(wasm, import.meta.url).href;
  return (await module).default({ locateFile: () => url, print: () => undefined });
}

function run(kind: new () => Decoder, frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const decoder = new kind();
  try {
    decoder.getEncodedBuffer(frame.length).set(frame);
    decoder.decode();
    return Uint8Array.from(decoder.getDecodedBuffer()); // a copy: the decoder's memory goes with it
  } finally {
    decoder.delete();
  }
}
