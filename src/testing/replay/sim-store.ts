/**
 * The store of a simulated publisher: it takes its time, refuses while its disk is full, and what was being
 * written at a crash is there afterwards, or not.
 */
import type { StorageBatch } from '../../core/batch.ts';
import type { Frames } from '../../core/machine.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Stage } from '../stage.ts';

/** Milliseconds that a write takes, at most. */
const SLOWEST = 12;

export class SimStore {
  readonly records = new Map<string, Frames>();
  readonly #stage: Stage;
  /** It refuses. */
  isFull = false;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** Makes a batch durable for a process. */
  write(process: SimProcess, batch: StorageBatch, done: (error?: Error) => void): void {
    const { random } = this.#stage.world;
    const at = process.now() + SLOWEST * random();
    if (this.isFull) {
      this.#stage.count('store.refused');
      process.wakeAt(at, () => done(new Error('the disk is full')));
      return;
    }
    const puts = batch.puts.map(({ key, value }) => [key, value.map((f) => f.slice())] as const);
    const isEarly = random() < 0.5;
    const apply = (): void => {
      for (const [key, value] of puts) this.records.set(key, value);
      for (const key of batch.deletes) this.records.delete(key);
    };
    if (isEarly) apply();
    process.wakeAt(at, () => {
      if (!isEarly) apply();
      done();
    });
  }
}
