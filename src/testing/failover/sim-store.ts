/**
 * A simulated store of one record: what the pair and the witness may never forget.
 *
 * It outlives the processes that write to it. A write takes virtual time, one after the other; it may fail,
 * and then it happened or not; and what was not answered when its process died happened or not, too.
 */
import type { SimProcess } from '../sim-process.ts';
import type { Stage } from '../stage.ts';

/** How many times as long a write takes while the store stalls. */
const STALL = 40;

interface Write {
  readonly process: SimProcess;
  readonly record: unknown;
  readonly done: (error?: Error) => void;
}

export class SimStore {
  readonly #stage: Stage;
  readonly #writeTime: number;
  #record: unknown;
  #queue: Write[] = [];
  #isWriting = false;
  #toFail = 0;
  #slowness = 1;

  /** @param writeTime milliseconds, on average */
  constructor(stage: Stage, writeTime: number) {
    this.#stage = stage;
    this.#writeTime = writeTime;
  }

  /** What the next process will find, but for a write that is under way. */
  get record(): unknown {
    return this.#record;
  }

  /** A write is under way. */
  get isWriting(): boolean {
    return this.#isWriting;
  }

  /** The store of `process` from now on; what its predecessor left undone is decided. */
  open(process: SimProcess): unknown {
    process.watch({
      processCrashed: () => this.#abandon(process),
      processExited: () => this.#abandon(process),
      processResumed: () => undefined,
    });
    return structuredClone(this.#record);
  }

  write(process: SimProcess, record: unknown, done: (error?: Error) => void): void {
    if (!process.spendEffect()) return;
    this.#queue.push({ process, record: structuredClone(record), done });
    if (!this.#isWriting) this.#next();
  }

  /** The next `count` writes fail. */
  failNext(count: number): void {
    this.#toFail = count;
  }

  stall(): void {
    this.#slowness = STALL;
  }

  heal(): void {
    this.#toFail = 0;
    this.#slowness = 1;
  }

  #next(): void {
    const write = this.#queue[0];
    if (write === undefined) return;
    const { world } = this.#stage;
    this.#isWriting = true;
    const time = this.#writeTime * this.#slowness * (0.5 + world.random());
    world.after(time, () => {
      if (this.#queue[0] === write) this.#finish(write);
    });
  }

  #finish(write: Write): void {
    this.#queue.shift();
    this.#isWriting = false;
    const fails = this.#toFail > 0;
    if (fails) {
      this.#toFail--;
      this.#stage.count('store.failed');
    }
    if (!fails || this.#stage.world.random() < 0.5) this.#record = write.record;
    write.process.run(() => write.done(fails ? new Error('the store failed') : undefined));
    this.#next();
  }

  /** Its process is gone: what was under way happened or not, and what came after did not. */
  #abandon(process: SimProcess): void {
    const [first] = this.#queue;
    this.#queue = this.#queue.filter((write) => write.process !== process);
    if (first?.process !== process) return;
    this.#isWriting = false;
    const kept = this.#stage.world.random() < 0.5;
    this.#stage.count(kept ? 'store.tornKept' : 'store.tornLost');
    if (kept) this.#record = first.record;
    this.#next();
  }
}
