/** A file's bytes in order, unpacked on the way if they are packed by gzip. */

export class ByteStream {
  private left: Uint8Array = new Uint8Array(0);

  private constructor(private readonly reader: ReadableStreamDefaultReader<Uint8Array>) {}

  static of(file: Blob, isGzip: boolean): ByteStream {
    const bytes = file.stream() as ReadableStream<Uint8Array<ArrayBuffer>>;
    const plain = isGzip ? bytes.pipeThrough(new DecompressionStream("gzip")) : bytes;
    return new ByteStream(plain.getReader());
  }

  /** The next bytes, a copy; null if there are not so many. */
  async take(count: number): Promise<Uint8Array<ArrayBuffer> | null> {
    const taken = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.left.length === 0) {
        const { done, value } = await this.reader.read();
        if (done) return null;
        this.left = value;
      }
      const part = this.left.subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      this.left = this.left.subarray(part.length);
    }
    return taken;
  }

  async skip(count: number): Promise<void> {
    if (count > 0) await this.take(count);
  }

  /** Read to the end: only there gzip compares its checksum. */
  async finish(): Promise<void> {
    while (!(await this.reader.read()).done);
  }

  async cancel(): Promise<void> {
    await this.reader.cancel().catch(() => undefined);
  }
}
