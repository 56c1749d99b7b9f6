/**
 * What is being written, and whether the store takes anything.
 *
 * Of each request one thing is written at a time; what comes meanwhile waits until that has been answered,
 * as an intent in the request itself. After a refusal only what clients ask is written, until a batch with
 * nothing in it was taken: a disk has room again without telling anybody.
 */
import type { StorageBatch, StorageState } from '../core/batch.ts';
import type { Instant, Outbox } from '../core/machine.ts';
import { NumberMap } from '../core/number-map.ts';
import type { Ending, StoredRequest } from './requests.ts';
import type { AskToken, TitanicMachineEvent } from './titanic-events.ts';

export type TitanicOutbox = Outbox<never, never, TitanicMachineEvent>;

/** One request, and what of it is being written. */
export interface RequestWrite {
  readonly kind: 'accept' | 'begin' | 'return' | 'close' | 'resubmit';
  readonly request: StoredRequest;
  /** Who is to be answered. */
  asks: AskToken[];
}

export interface EndWrite {
  readonly kind: 'end';
  readonly request: StoredRequest;
  readonly ending: Ending;
}

/** What is discarded, and why; closed ones for no reason that anybody has to know. */
export interface Victim {
  readonly request: StoredRequest;
  readonly reason: 'age' | 'count' | 'bytes' | undefined;
}

/** Many are discarded at once: nobody waits for it. */
export interface SweepWrite {
  readonly kind: 'sweep';
  readonly victims: readonly Victim[];
}

/** Nothing, to see whether the store takes it. */
export interface ProbeWrite {
  readonly kind: 'probe';
}

export type Write = RequestWrite | EndWrite | SweepWrite | ProbeWrite;

/** Milliseconds after a refusal until the store is tried again. */
export const STORE_REST = 1000;

export class Writes {
  readonly #outbox: TitanicOutbox;
  readonly #open = new NumberMap<Write>();
  #token = 0;
  #state: StorageState = 'open';
  #isPaused = false;
  #probeAt: Instant = Infinity;

  constructor(outbox: TitanicOutbox) {
    this.#outbox = outbox;
  }

  /** How many are under way. */
  get size(): number {
    return this.#open.size;
  }

  /** False if what is written now will probably be refused. */
  get takesAll(): boolean {
    return this.#state === 'open' && !this.#isPaused;
  }

  /** False if it will be refused, urgent or not. */
  get takesUrgent(): boolean {
    return this.#state === 'open' || this.#state === 'full';
  }

  /** When a store that refused is tried again. */
  get nextDue(): Instant {
    return this.#probeAt;
  }

  store(write: Write, batch: StorageBatch): void {
    const token = ++this.#token;
    this.#open.set(token, write);
    this.#mark(write, write);
    this.#outbox.store(token, batch);
  }

  /** The write that was answered; undefined if that was never asked for. */
  take(token: number): Write | undefined {
    const write = this.#open.get(token);
    if (write === undefined) return undefined;
    this.#open.delete(token);
    this.#mark(write, undefined);
    return write;
  }

  /** A write was refused. True if that is news. */
  refused(now: Instant): boolean {
    const isNews = !this.#isPaused;
    this.#isPaused = true;
    if (this.takesUrgent && this.#probeAt === Infinity) this.#probeAt = now + STORE_REST;
    return isNews;
  }

  /** A write was taken that was not urgent. True if that is news; a full store says itself when it is not. */
  taken(): boolean {
    if (!this.#isPaused || this.#state !== 'open') return false;
    this.#resume();
    return true;
  }

  /** The storage says what it takes. True if it takes all from now on. */
  told(now: Instant, state: StorageState): boolean {
    this.#state = state;
    if (state === 'open') this.#resume();
    else if (state === 'full') this.#probeAt = now + STORE_REST;
    else this.#probeAt = Infinity;
    return state === 'open';
  }

  /** Tries again, if it is time. */
  probe(now: Instant): void {
    if (this.#probeAt > now) return;
    this.#probeAt = Infinity;
    this.store({ kind: 'probe' }, { puts: [], deletes: [] });
  }

  /** Those under way, oldest first. */
  *[Symbol.iterator](): Generator<Write> {
    yield* this.#open.values();
  }

  /** For the fingerprint. */
  get condition(): unknown {
    const kinds = Array.from(this.#open, ([token, { kind }]) => [token, kind]);
    return {
      kinds,
      token: this.#token,
      state: this.#state,
      isPaused: this.#isPaused,
      probeAt: this.#probeAt,
    };
  }

  /** Each request knows what is being written of it. */
  #mark(write: Write, mark: Write | undefined): void {
    if (write.kind === 'probe') return;
    if (write.kind !== 'sweep') write.request.write = mark;
    else for (const { request } of write.victims) request.write = mark;
  }

  #resume(): void {
    this.#isPaused = false;
    this.#probeAt = Infinity;
  }
}
