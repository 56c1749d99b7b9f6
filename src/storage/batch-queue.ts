/** Batches that wait to be written, in order; the next commit takes as many as fit. */
import type { StorageBatch } from '../core/batch.ts';
import type { StorageError } from '../core/errors.ts';

/** A batch, and who is told what became of it. */
export interface WaitingBatch {
  readonly batch: StorageBatch;
  readonly bytes: number;
  readonly done: (error?: StorageError) => void;
}

export class BatchQueue {
  #batches: WaitingBatch[] = [];

  get size(): number {
    return this.#batches.length;
  }

  push(waiting: WaitingBatch): void {
    this.#batches.push(waiting);
  }

  /** Removes the first one, and those behind it that fit into as many bytes with it. */
  takeGroup(limit: number): readonly WaitingBatch[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#batches) {
      bytes += waiting.bytes;
      if (count > 0 && bytes > limit) break;
      count++;
    }
    return count === this.#batches.length ? this.takeAll() : this.#batches.splice(0, count);
  }

  /** Removes all of them. */
  takeAll(): readonly WaitingBatch[] {
    const batches = this.#batches;
    this.#batches = [];
    return batches;
  }
}

export function isUrgent({ batch }: WaitingBatch): boolean {
  return batch.urgent === true;
}
