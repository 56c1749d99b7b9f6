/**
 * An engine that keeps records in memory, for tests. It survives its storage: open another one on the
 * same engine to see what a restart finds.
 */
import type { Engine, Operation } from './engine.ts';

export class MemoryEngine implements Engine {
  readonly #records = new Map<string, Uint8Array>();
  #bytes = 0;
  #noted = 0;

  get noted(): number {
    return this.#noted;
  }

  scan(each: (key: string, value: Uint8Array) => void, done: (error: undefined) => void): void {
    for (const key of [...this.#records.keys()].toSorted()) each(key, this.#records.get(key)!);
    done(undefined);
  }

  commit(operations: readonly Operation[], _sync: boolean, done: (error: undefined) => void): void {
    for (const { key, value } of operations) {
      this.#bytes += (value?.byteLength ?? 0) - (this.#records.get(key)?.byteLength ?? 0);
      if (value === undefined) this.#records.delete(key);
      else this.#records.set(key, value);
    }
    done(undefined);
  }

  read(key: string, done: (error: undefined, value: Uint8Array | undefined) => void): void {
    done(undefined, this.#records.get(key));
  }

  reopen(done: (error: undefined) => void): void {
    done(undefined);
  }

  /** Memory has no reserve: nothing is given back. */
  release(): void {}

  reserve(done: (isHeld: boolean) => void): void {
    done(true);
  }

  note(sequence: number): void {
    this.#noted = sequence;
  }

  size(): number {
    return this.#bytes;
  }

  close(done: () => void): void {
    done();
  }
}
