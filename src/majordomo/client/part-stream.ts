/** The parts of one streamed reply between the machine that delivers and the reader that pulls. */
import type { RequestError } from '../../core/errors.ts';
import { byteLength, sizeOf } from '../../core/frames.ts';
import type { Reply } from '../payload.ts';

export class PartStream implements AsyncIterable<Reply> {
  readonly #limit: number;
  readonly #onTaken: ((bytes: number) => void) | undefined;
  readonly #parts: Reply[] = [];
  #bytes = 0;
  #end: 'open' | 'finished' | RequestError = 'open';
  #wake: (() => void) | undefined;

  /**
   * @param limit bytes that may lie unread; one part more, of any size, still passes
   * @param onTaken is told how many bytes the reader has just taken
   */
  constructor(limit: number, onTaken?: (bytes: number) => void) {
    this.#limit = limit;
    this.#onTaken = onTaken;
  }

  /** False if the reader has fallen too far behind. */
  push(part: Reply): boolean {
    if (this.#end !== 'open') return true;
    if (this.#bytes >= this.#limit) return false;
    this.#bytes += sizeOf(part.body);
    this.#parts.push(part);
    this.#wakeReader();
    return true;
  }

  /** The end; an empty final reply says nothing and is left out. */
  finish(final: Reply): void {
    if (this.#end !== 'open') return;
    this.#end = 'finished';
    if (byteLength(final.body) > 0) this.#parts.push(final);
    this.#wakeReader();
  }

  /** What was received before is still read, then the error is thrown. */
  fail(error: RequestError): void {
    if (this.#end !== 'open') return;
    this.#end = error;
    this.#wakeReader();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Reply, void, undefined> {
    for (;;) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        const bytes = sizeOf(part.body);
        this.#bytes -= bytes;
        this.#onTaken?.(bytes);
        yield part;
      } else if (this.#end === 'finished') return;
      else if (this.#end !== 'open') throw this.#end;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
