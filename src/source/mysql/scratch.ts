import { JsonWriter } from '../../encode/json-writer.ts';

const NOTHING = Buffer.alloc(0);
const BYTES_MIN = 16 * 1024;
const BYTES_KEPT_MAX = 4 * 1024 * 1024;

/**
 * Text in the making: a value that is itself a JSON document or well-known text is first written here, then
 * copied with escapes into the row. One for each codec, used again and again.
 */
export class Scratch extends JsonWriter {
  /** Forgets the text; gives back what a huge value needed. */
  clear(): void {
    if (this.buffer.length > BYTES_KEPT_MAX) this.adopt(NOTHING);
    this.position = 0;
  }

  protected override grow(bytes: number): void {
    const size = Math.max(BYTES_MIN, this.position + bytes, 2 * this.buffer.length);
    const larger = Buffer.allocUnsafeSlow(size);
    this.buffer.copy(larger, 0, 0, this.position);
    this.adopt(larger);
  }
}
