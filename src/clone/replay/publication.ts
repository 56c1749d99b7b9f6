/**
 * From `publish` to public: a message gets the next number, becomes durable where there is a store, and is
 * then told to all, in order.
 *
 * One batch is under way at a time, with all that waited. A store that refuses is asked again with the same
 * messages: as none of them was told, nobody can miss one, and no number is left out.
 */
import type { StorageBatch, StoragePut } from '../../core/batch.ts';
import { encodeText, keepFrames } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';
import type { History } from '../stream/history.ts';
import { updateOf, type Update } from '../stream/update.ts';
import type { ReplayPublisherCall, ReplayPublisherEvent } from './events.ts';

/** Milliseconds until a store that has refused is asked again. */
export const STORE_RETRY = 1000;

/** Records that one batch deletes, at most: what is left goes with the next. */
const DELETES = 10_000;

export interface PublicationSettings {
  readonly pendingLimit: number;
  readonly pendingBytes: number;
  /** There is a store. */
  readonly isDurable: boolean;
}

/** What the machine does with a message. */
export interface PublicationOwner {
  /** It has its number. */
  accept(now: Instant, update: Update): void;
  /** The next one of those accepted is public. */
  publish(now: Instant): Update;
  store(token: number, batch: StorageBatch): void;
  emit(event: ReplayPublisherEvent): void;
}

export class Publication {
  readonly #owner: PublicationOwner;
  readonly #history: History;
  readonly #settings: PublicationSettings;
  /** Plain data: part of the machine's state. */
  readonly #state: {
    phase: 'open' | 'draining' | 'closed';
    /** Bytes of those that are accepted and not public. */
    pendingBytes: number;
    token: number;
    /** The last of those that are being stored; undefined while nothing is. */
    writing: Sequence | undefined;
    /** The oldest that the store has. */
    oldest: Sequence;
    /** Up to here its records are deleted when the write under way is done. */
    deleting: Sequence;
    /** The store has refused: it is asked again then. */
    retryAt: Instant;
  };

  /** @param oldest the first message that the store has, or the next number if it has none */
  constructor(
    owner: PublicationOwner,
    history: History,
    settings: PublicationSettings,
    oldest: Sequence,
  ) {
    this.#owner = owner;
    this.#history = history;
    this.#settings = settings;
    this.#state = {
      phase: 'open',
      pendingBytes: 0,
      token: 0,
      writing: undefined,
      oldest,
      deleting: oldest,
      retryAt: Infinity,
    };
  }

  get phase(): 'open' | 'draining' | 'closed' {
    return this.#state.phase;
  }

  /** Accepted, and not public. */
  get pending(): number {
    return this.#history.accepted - this.#history.published;
  }

  get nextDue(): Instant {
    return this.#state.retryAt;
  }

  get state(): unknown {
    return this.#state;
  }

  publish(now: Instant, call: Extract<ReplayPublisherCall, { type: 'publish' }>): void {
    const { sequence, topic, body } = call;
    const state = this.#state;
    const { pendingLimit, pendingBytes } = this.#settings;
    const isFull = this.pending >= pendingLimit || state.pendingBytes >= pendingBytes;
    if (state.phase !== 'open') return this.#refuse(sequence, 'closing');
    if (isFull) return this.#refuse(sequence, 'full');
    if (sequence !== this.#history.accepted + 1) return this.#refuse(sequence, 'outOfOrder');
    const update = updateOf({ sequence, kind: 'set', key: topic, value: keepFrames(body) });
    this.#owner.accept(now, update);
    state.pendingBytes += update.weight;
    if (!this.#settings.isDurable) this.#publishUpTo(now, sequence);
    else if (state.writing === undefined && state.retryAt === Infinity) this.#write();
  }

  handleStored(now: Instant, token: number, error: Error | undefined): void {
    const state = this.#state;
    if (token !== state.token || state.writing === undefined) return;
    const last = state.writing;
    state.writing = undefined;
    if (error !== undefined) {
      this.#owner.emit({ type: 'storeFailed', message: error.message });
      if (state.phase !== 'closed') state.retryAt = now + STORE_RETRY;
      return;
    }
    state.oldest = state.deleting;
    if (state.phase === 'closed') return;
    this.#publishUpTo(now, last);
    if (this.pending > 0) this.#write();
    this.#settle();
  }

  handleTimeout(now: Instant): void {
    const state = this.#state;
    if (state.retryAt > now) return;
    state.retryAt = Infinity;
    if (this.pending > 0) this.#write();
  }

  drain(): void {
    if (this.#state.phase !== 'open') return;
    this.#state.phase = 'draining';
    this.#settle();
  }

  /** What is not public never will be. */
  stop(): void {
    const state = this.#state;
    if (state.phase === 'closed') return;
    const { published, accepted } = this.#history;
    for (let sequence = published + 1; sequence <= accepted; sequence++) {
      this.#refuse(sequence, 'closing');
    }
    this.#history.dropStaged();
    state.pendingBytes = 0;
    this.#close();
  }

  #settle(): void {
    if (this.#state.phase === 'draining' && this.pending === 0) this.#close();
  }

  #close(): void {
    this.#state.phase = 'closed';
    this.#state.retryAt = Infinity;
    this.#owner.emit({ type: 'drained' });
  }

  #refuse(sequence: Sequence, reason: 'full' | 'outOfOrder' | 'closing'): void {
    this.#owner.emit({ type: 'publishRefused', sequence, reason });
  }

  #publishUpTo(now: Instant, last: Sequence): void {
    while (this.#history.published < last) {
      const { sequence, weight } = this.#owner.publish(now);
      this.#state.pendingBytes -= weight;
      this.#owner.emit({ type: 'published', sequence });
    }
  }

  /** Stores all that waits, and deletes what the history has forgotten. */
  #write(): void {
    const state = this.#state;
    const { published, accepted, first } = this.#history;
    const puts: StoragePut[] = [];
    for (let sequence = published + 1; sequence <= accepted; sequence++) {
      puts.push(recordOf(this.#history.get(sequence)!));
    }
    const deletes: string[] = [];
    state.deleting = Math.min(first, published + 1, state.oldest + DELETES);
    for (let sequence = state.oldest; sequence < state.deleting; sequence++) {
      deletes.push(keyOf(sequence));
    }
    state.writing = accepted;
    state.token++;
    this.#owner.store(state.token, { puts, deletes });
  }
}

const PREFIX = 'm/';

/** The key of a message's record: in the order of the numbers. */
export function keyOf(sequence: Sequence): string {
  return PREFIX + String(sequence).padStart(16, '0');
}

/** The number in a key; undefined if it is no message's. */
export function sequenceIn(key: string): Sequence | undefined {
  return /^m\/\d{16}$/.test(key) ? Number(key.slice(PREFIX.length)) : undefined;
}

function recordOf({ sequence, key, value }: Update): StoragePut {
  return { key: keyOf(sequence), value: [encodeText(key), ...value] };
}
