/** Packing what is to be saved, off the page's main thread. */

const CHUNK_BYTES = 2 ** 20;

export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Blob> {
  const packing = new CompressionStream("gzip");
  const packed = new Response(packing.readable).blob();
  const writer = packing.writable.getWriter();
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    await writer.write(bytes.subarray(at, at + CHUNK_BYTES));
  }
  await writer.close();
  return packed;
}
