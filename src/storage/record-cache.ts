/** Records written or read lately, bounded in bytes: the oldest leave first. */
import { Fifo } from '../core/fifo.ts';

/** What an entry costs beside the bytes of its record, roughly. */
const ENTRY_OVERHEAD = 200;

export class RecordCache {
  readonly #limit: number;
  readonly #records = new Fifo<string, Uint8Array>();
  #bytes = 0;

  /** @param limit bytes; 0 keeps nothing */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string): Uint8Array | undefined {
    return this.#records.get(key);
  }

  /** Keeps a record, unless it alone is over the limit. */
  set(key: string, record: Uint8Array): void {
    this.delete(key);
    const cost = costOf(record);
    if (cost > this.#limit) return;
    this.#records.push(key, record);
    this.#bytes += cost;
    while (this.#bytes > this.#limit) this.delete(this.#records.first!);
  }

  delete(key: string): void {
    const record = this.#records.get(key);
    if (record === undefined) return;
    this.#records.delete(key);
    this.#bytes -= costOf(record);
  }
}

function costOf(record: Uint8Array): number {
  return record.byteLength + ENTRY_OVERHEAD;
}
