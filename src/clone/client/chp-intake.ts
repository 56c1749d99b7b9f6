/**
 * What comes from a stock server (12/CHP), and whether it is all: snapshots, and updates whose numbers have no
 * hole.
 *
 * Updates that come while a snapshot is wanted wait for its end, and those above its number follow it. The
 * numbers of one server only ascend: who says less than before is another one, or has begun anew.
 */
import { BoundedQueue } from '../../core/bounded-queue.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type { CloneChange, CloneClientEvent } from '../client-events.ts';
import type {
  HugzCommand,
  KthxbaiCommand,
  KvpubCommand,
  KvsyncCommand,
  Position,
  Sequence,
} from '../commands.ts';
import { isKey } from '../key.ts';
import type { Replica } from './replica.ts';

/**
 * What follows from a command. `whole`: nothing is missing, as far as is known. `gap`: a number is missing.
 * `overfull`: it is more than the bounds let in. `outdated`: it is another server than before.
 */
export type ChpVerdict = 'inOrder' | 'whole' | 'gap' | 'overfull' | 'outdated';

/** What an intake needs of its machine. */
export interface ChpIntakeOwner {
  /** Somebody wants to know of changes. */
  readonly isWatched: boolean;
  emit(event: CloneClientEvent): void;
  /** The map shows an update with this uuid, '' for none. */
  handleEcho(now: Instant, uuid: string, sequence: Sequence): void;
}

/** Stock servers have none. */
const NO_EPOCH = 0;

/** Updates that wait for the end of a snapshot, and their bytes: what more there is makes a gap. */
const WAITING = { limit: 100_000, bytes: 64 * 1024 * 1024 };

/** What an update costs beside its key and value, in bytes. */
const OVERHEAD = 100;

const DELETED = { kind: 'delete', value: [] } as const;

export class ChpIntake {
  readonly #replica: Replica;
  readonly #owner: ChpIntakeOwner;
  readonly #waiting = new BoundedQueue<KvpubCommand>(WAITING);
  readonly #state = {
    /** A snapshot is wanted, or under way. */
    isLoading: false,
    /** Updates are known to arrive on this link, and the highest number that was heard of. */
    isSubscribed: false,
    heard: 0,
    /** What the map shows. */
    sequence: 0,
  };

  constructor(replica: Replica, owner: ChpIntakeOwner) {
    this.#replica = replica;
    this.#owner = owner;
  }

  /** Plain data, for the fingerprint. */
  get states(): readonly unknown[] {
    return [this.#state, [...this.#waiting]];
  }

  get isLoading(): boolean {
    return this.#state.isLoading;
  }

  /** Of what the map shows. */
  get position(): Position {
    return { epoch: NO_EPOCH, sequence: this.#state.sequence };
  }

  /** There is a new link: all begins anew, but for what is visible. */
  restart(): void {
    this.#state.isSubscribed = false;
    this.#state.heard = 0;
    this.want();
  }

  /** The link is over. */
  discard(): void {
    this.#replica.discardLoading();
    this.#dropWaiting();
  }

  /** What is visible is not whole: a snapshot is needed. */
  want(): void {
    this.#state.isLoading = true;
    this.#dropWaiting();
  }

  /** A snapshot was asked for. */
  beginLoading(): void {
    this.#replica.beginLoading();
    this.#dropWaiting();
  }

  // What comes

  load({ key, sequence: revision, value }: KvsyncCommand): ChpVerdict {
    if (!isKey(key) || value.length === 0) return this.#ignore();
    const item = { type: 'item', stream: 0, index: 0, key, revision, value: [value] } as const;
    return this.#replica.load(item) ? 'inOrder' : 'overfull';
  }

  finishLoading(now: Instant, { sequence }: KthxbaiCommand): ChpVerdict {
    const state = this.#state;
    const changes: CloneChange[] | undefined = this.#owner.isWatched ? [] : undefined;
    this.#replica.finishLoading({ sequence }, changes);
    state.isLoading = false;
    state.sequence = sequence;
    const { size } = this.#replica.items;
    this.#owner.emit({ type: 'snapshotLoaded', position: this.position, size });
    this.#tellChanges(changes, sequence);
    while (this.#waiting.size > 0) {
      const verdict = this.#take(now, this.#waiting.shift()!);
      if (verdict !== 'whole') return verdict;
    }
    // Of what was heard of meanwhile some did not come, or had no room.
    if (state.heard > state.sequence) return this.#lack(state.heard);
    return state.isSubscribed ? 'whole' : 'inOrder';
  }

  update(now: Instant, command: KvpubCommand): ChpVerdict {
    if (!this.#hears(command.sequence, command.sequence - 1)) return 'outdated';
    if (!this.#state.isLoading) return this.#take(now, command);
    const [value] = keepFrames([command.value]);
    const bytes = OVERHEAD + command.key.length + command.value.length;
    this.#waiting.push({ ...command, value: value! }, bytes);
    return 'inOrder';
  }

  beat({ sequence }: HugzCommand): ChpVerdict {
    // The letter of 12/CHP has 0, which says nothing.
    if (!this.#hears(sequence, sequence)) return 'outdated';
    if (this.#state.isLoading) return 'inOrder';
    return sequence > this.#state.sequence ? this.#lack(sequence) : 'whole';
  }

  /** @param floor what must not be below what was heard before */
  #hears(sequence: Sequence, floor: Sequence): boolean {
    const state = this.#state;
    state.isSubscribed = true;
    if (sequence > 0 && floor < state.heard) return false;
    state.heard = Math.max(state.heard, sequence);
    return true;
  }

  #take(now: Instant, command: KvpubCommand): ChpVerdict {
    const state = this.#state;
    const { sequence, uuid } = command;
    if (sequence > state.sequence + 1) return this.#lack(sequence);
    // Else it is what the snapshot has already.
    if (sequence > state.sequence) {
      if (!this.#apply(command)) return 'overfull';
      state.sequence = sequence;
    }
    this.#owner.handleEcho(now, uuid, sequence);
    return 'whole';
  }

  #apply({ key, sequence, ttl, value }: KvpubCommand): boolean {
    if (!isKey(key)) {
      this.#ignore();
      return true;
    }
    const changes: CloneChange[] | undefined = this.#owner.isWatched ? [] : undefined;
    const change = value.length === 0 ? DELETED : ({ kind: 'set', value: [value] } as const);
    const place = { stream: 0, sequence, predecessor: sequence - 1 };
    const update = { type: 'update', key, ...place, ...change, ttl, timeLeft: ttl } as const;
    if (!this.#replica.apply(update, false, changes)) return false;
    this.#tellChanges(changes, sequence);
    return true;
  }

  #lack(got: Sequence): ChpVerdict {
    this.#owner.emit({ type: 'gapDetected', expected: this.#state.sequence + 1, got });
    return 'gap';
  }

  #tellChanges(changes: readonly CloneChange[] | undefined, sequence: Sequence): void {
    if (changes === undefined || changes.length === 0) return;
    this.#owner.emit({ type: 'changed', changes, position: { epoch: NO_EPOCH, sequence } });
  }

  #ignore(): ChpVerdict {
    this.#owner.emit({ type: 'ignored', reason: 'unexpected' });
    return 'inOrder';
  }

  #dropWaiting(): void {
    while (this.#waiting.size > 0) this.#waiting.shift();
  }
}
