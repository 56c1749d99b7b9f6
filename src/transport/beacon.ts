/**
 * Beacons: signs of life from a thread, for as long as the event loop of this one stands still.
 *
 * One thread serves the whole process. It starts with the first session and ends with the last, and
 * never keeps the process alive. What the two threads know of each other stands in shared memory: a
 * counter that a timer here moves as long as the loop turns, and who is busy. For a process aborts that
 * ends while one of its threads is inside of zeromq: so the thread never receives, and at the exit of
 * the process it is stopped between two sends.
 */
import { Worker } from 'node:worker_threads';

/** One session that the thread speaks for. */
export interface BeaconSession {
  readonly endpoint: string;
  /** Milliseconds between two beacons. */
  readonly interval: number;
  /** The frame to send. */
  readonly message: Uint8Array;
  /**
   * Where in it, for five bytes, it says for how many milliseconds the loop has stood still: seven bits
   * a byte, lowest first, the highest bit set in all but the last.
   */
  readonly stuckAt: number;
}

export interface Beacon {
  /**
   * Begins to speak for a session, or goes on with other settings.
   * @param onFailure told once, if the thread cannot start or ends before its time
   */
  open(session: string, settings: BeaconSession, onFailure: (reason: string) => void): void;
  /** Ends it. Resolves when the thread has ended, if this was its last session. */
  close(session: string): Promise<void>;
}

/** What the thread is told. */
export type BeaconOrder =
  | { readonly type: 'open'; readonly session: string; readonly settings: BeaconSession }
  | { readonly type: 'close'; readonly session: string }
  | { readonly type: 'end' };

/** What the cells of the shared memory say. */
export const CELLS = {
  /** Moves while the event loop turns. */
  turns: 0,
  /** 1: the process ends, do nothing any more. */
  isOver: 1,
  /** 1: the thread is inside of zeromq, or about to be. */
  isBusy: 2,
} as const;

/** Milliseconds between two movements of the counter: what stands still for less is not stuck. */
export const TURN = 50;

/** Milliseconds that the end of a process waits for the thread at most. */
const PATIENCE = 1000;

/** The beacon of this process. */
export class ThreadBeacon implements Beacon {
  readonly #script: URL;
  readonly #sessions = new Map<string, (reason: string) => void>();
  #thread: Worker | undefined;
  #ended: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param script the built `beacon-thread.js` */
  constructor(script: URL) {
    this.#script = script;
  }

  open(session: string, settings: BeaconSession, onFailure: (reason: string) => void): void {
    // In-process endpoints exist in one thread alone.
    if (settings.endpoint.startsWith('inproc:')) return;
    this.#sessions.set(session, onFailure);
    this.#thread ??= this.#start();
    this.#order({ type: 'open', session, settings });
  }

  async close(session: string): Promise<void> {
    if (!this.#sessions.delete(session)) return;
    if (this.#sessions.size > 0) return this.#order({ type: 'close', session });
    this.#order({ type: 'end' });
    // Somebody waits for its end: now it may keep the process.
    this.#thread?.ref();
    this.#forget();
    await this.#ended;
  }

  #start(): Worker {
    const cells = new Int32Array(new SharedArrayBuffer(4 * Object.keys(CELLS).length));
    // Until it says otherwise: loading zeromq is no moment to be ended in either.
    Atomics.store(cells, CELLS.isBusy, 1);
    const thread = new Worker(this.#script, { workerData: cells });
    thread.unref();
    const stop = (): void => {
      Atomics.store(cells, CELLS.isOver, 1);
      Atomics.wait(cells, CELLS.isBusy, 1, PATIENCE);
    };
    process.once('exit', stop);
    this.#ended = new Promise((resolve) => thread.once('exit', () => resolve()));
    thread.once('error', (error) => this.#failed(thread, String(error)));
    thread.once('exit', (code) => {
      process.off('exit', stop);
      this.#failed(thread, `it exited with code ${code}`);
    });
    this.#timer = setInterval(() => Atomics.add(cells, CELLS.turns, 1), TURN).unref();
    return thread;
  }

  #order(order: BeaconOrder): void {
    this.#thread?.postMessage(order);
  }

  /** The next session starts another thread. */
  #forget(): void {
    clearInterval(this.#timer);
    this.#thread = undefined;
  }

  #failed(thread: Worker, reason: string): void {
    if (this.#thread !== thread) return;
    this.#forget();
    const listeners = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const listener of listeners) listener(`the beacon thread failed: ${reason}`);
  }
}

/** The one of this process; undefined where its thread cannot be loaded, which is before the build. */
export function processBeacon(): Beacon | undefined {
  if (!import.meta.url.endsWith('.js')) return undefined;
  return new ThreadBeacon(new URL('./beacon-thread.js', import.meta.url));
}
