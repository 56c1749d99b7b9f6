/**
 * What a Clone server does for stock peers (12/CHP): snapshots, published updates, and their writes.
 *
 * A stock client subscribes first and asks for a snapshot then, over two sockets that know nothing of
 * each other. So a snapshot is exactly what was public at the moment at which it began, whatever changes
 * while it is sent: what became public since is published, under higher numbers.
 */
import { Fifo } from '../../core/fifo.ts';
import { EMPTY_FRAME } from '../../core/frames.ts';
import type { Address, Instant, Outbox } from '../../core/machine.ts';
import type {
  HugzCommand,
  IcanhazCommand,
  KthxbaiCommand,
  KvpubCommand,
  KvsetCommand,
  KvsyncCommand,
  Sequence,
} from '../commands.ts';
import { isUnder } from '../key.ts';
import type { CloneServerEvent, ServerPort } from '../server-events.ts';
import { bytesOf } from './entries.ts';

/** What a stock peer writes, as the server's own doing. */
export interface StockWrite {
  readonly kind: 'set' | 'delete';
  readonly key: string;
  /** Milliseconds. */
  readonly ttl: number | undefined;
  /** Borrowed. */
  readonly value: Uint8Array;
  /** Comes back with what is published. */
  readonly uuid: string;
}

/** What has become public, one key at a time. */
export interface StockUpdate {
  readonly kind: 'set' | 'delete';
  readonly key: string;
  /** Above that of all before it. */
  readonly sequence: Sequence;
  readonly ttl?: number | undefined;
  readonly value: Uint8Array;
  readonly uuid: string;
}

interface StockEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: Sequence;
  /** The sequence at which the key was made. */
  readonly createdAfter: Sequence;
}

/** What the desk needs of its server. */
export interface StockState {
  /** The public map, in the order in which keys were made. */
  readonly published: ReadonlyMap<string, StockEntry>;
  /** The newest that is public. */
  readonly sequence: Sequence;
  readonly isActive: boolean;
  /** Accepts it, copied. False: there is no room. */
  stage(now: Instant, write: StockWrite): boolean;
}

export interface StockDeskSettings {
  readonly heartbeatInterval: number;
}

type StockSays = KvsyncCommand | KthxbaiCommand | KvpubCommand | HugzCommand;

/** Writes that are remembered, so that one that is repeated is not done twice. */
const UUID_LIMIT = 10_000;

/** Snapshots at a time: for one more the one whose turn was longest ago ends, and its client asks again. */
const SNAPSHOT_LIMIT = 1000;

/** Keys that a snapshot keeps as they were: one whose client takes nothing ends here, and is asked for again. */
const KEPT_LIMIT = 100_000;

/**
 * Bytes that may change while a client takes nothing, for its snapshot ends: a walk that stands still keeps in
 * memory what leaves the map.
 */
const LAG_LIMIT = 256 * 1024 * 1024;

/** Keys that one client gets before others have their turn. */
const STEP = 500;
/** Clients that have their turn, and milliseconds until the next ones have. */
const TURNS = 8;
const PAUSE = 1;

/** A walk over the map as it was: what is changed meanwhile is kept as it was, and comes at the end. */
class Snapshot {
  readonly subtree: string;
  /** Of the moment at which it began. */
  readonly sequence: Sequence;
  /** Its client's queue is full. */
  isFull = false;
  /** Bytes that have changed since then. */
  lag = 0;
  /** What is to be sent next; undefined: nothing of this step. */
  next: readonly [key: string, value: Uint8Array] | undefined;
  isOver = false;
  /** It has seen the whole map. */
  #isLate = false;
  /** What was changed before the walk came to it. */
  readonly kept = new Fifo<string, Uint8Array>();
  readonly #entries: Iterator<StockEntry>;

  constructor(subtree: string, { sequence, published }: StockState) {
    this.subtree = subtree;
    this.sequence = sequence;
    this.#entries = published.values();
    this.step();
  }

  step(): void {
    if (!this.#isLate) {
      const { value: entry, done } = this.#entries.next();
      // It ends at the first key that is younger: however many are made, an end comes.
      this.#isLate = done === true || entry.createdAfter > this.sequence;
      this.next = !this.#isLate && this.#isOfThen(entry) ? [entry.key, entry.value] : undefined;
      return;
    }
    const key = this.kept.first;
    this.isOver = key === undefined;
    this.next = key === undefined ? undefined : [key, this.kept.get(key)!];
    if (key !== undefined) this.kept.delete(key);
  }

  /** This entry is about to change: what it has is kept. False: that is too much. */
  keep(entry: StockEntry): boolean {
    const { key, value } = entry;
    if (this.isFull) this.lag += bytesOf(key, value);
    // Who knows whether the walk has been there; twice the same does no harm.
    const isKept = !this.#isLate && !this.kept.has(key) && this.#isOfThen(entry);
    if (isKept) this.kept.push(key, value);
    return this.kept.size <= KEPT_LIMIT && this.lag <= LAG_LIMIT;
  }

  #isOfThen({ key, revision }: StockEntry): boolean {
    return revision <= this.sequence && isUnder(this.subtree, key);
  }
}

export class StockDesk {
  readonly #outbox: Outbox<ServerPort, StockSays, CloneServerEvent>;
  readonly #settings: StockDeskSettings;
  readonly #server: StockState;
  /** Plain data, for the fingerprint. */
  readonly state = {
    beatAt: Infinity,
    /** When snapshots go on. */
    continueAt: Infinity,
    snapshots: new Map<Address, Snapshot>(),
    uuids: new Fifo<string>(),
  };

  constructor(
    outbox: Outbox<ServerPort, StockSays, CloneServerEvent>,
    settings: StockDeskSettings,
    server: StockState,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#server = server;
  }

  get nextTimeout(): Instant {
    return Math.min(this.state.beatAt, this.state.continueAt);
  }

  /** True once stock peers are served. */
  get isServing(): boolean {
    return this.state.beatAt !== Infinity;
  }

  /** The sockets are bound. Until then all that is published costs one comparison. */
  serve(now: Instant): void {
    if (!this.isServing) this.state.beatAt = now + this.#settings.heartbeatInterval;
  }

  /** It serves no more: snapshots under way are of no use. */
  standBy(): void {
    this.state.snapshots.clear();
    this.state.continueAt = Infinity;
  }

  handleCommand(now: Instant, from: Address, command: IcanhazCommand | KvsetCommand): void {
    if (command.type === 'kvset') return this.#write(now, command);
    const { snapshots } = this.state;
    // A passive server is silent: the client then asks the other one.
    if (!this.#server.isActive) return;
    const [oldest] = snapshots.keys();
    if (snapshots.size >= SNAPSHOT_LIMIT) snapshots.delete(oldest!);
    const { subtree } = command;
    const snapshot = new Snapshot(subtree, this.#server);
    snapshots.set(from, snapshot);
    this.#outbox.emit({ type: 'stockSnapshot', from, subtree });
    this.#advance(now, from, snapshot);
  }

  /** This is public now. */
  handlePublished({ kind, key, sequence, ttl, value, uuid }: StockUpdate): void {
    if (!this.isServing) return;
    const isSet = kind === 'set';
    const rest = isSet ? { ttl, value } : { value: EMPTY_FRAME };
    this.#outbox.send('publisher', '', { type: 'kvpub', key, sequence, uuid, ...rest });
  }

  /** This entry is about to change, or to go: snapshots under way are to have it as it is. */
  handleChanging(entry: StockEntry): void {
    const { snapshots } = this.state;
    if (snapshots.size === 0) return;
    for (const [to, snapshot] of snapshots) {
      if (!snapshot.keep(entry)) snapshots.delete(to);
    }
  }

  /** A client has room again. */
  handleWritable(now: Instant, to: Address): void {
    const snapshot = this.state.snapshots.get(to);
    if (snapshot === undefined) return;
    snapshot.isFull = false;
    this.#advance(now, to, snapshot);
  }

  handlePeerGone(from: Address): void {
    this.state.snapshots.delete(from);
  }

  handleTimeout(now: Instant): void {
    const { state } = this;
    if (state.beatAt <= now) {
      state.beatAt = now + this.#settings.heartbeatInterval;
      const { isActive, sequence } = this.#server;
      if (isActive) this.#outbox.send('publisher', '', { type: 'hugz', sequence });
    }
    if (state.continueAt > now) return;
    state.continueAt = Infinity;
    let turns = Math.min(TURNS, state.snapshots.size);
    for (const [to, snapshot] of state.snapshots) {
      if (snapshot.isFull) continue;
      if (turns-- === 0) return this.#pause(now);
      // Behind all others.
      state.snapshots.delete(to);
      state.snapshots.set(to, snapshot);
      this.#advance(now, to, snapshot);
    }
  }

  /** This was accepted, and never was: its writer may ask for it again. */
  handleDropped(uuid: string): void {
    this.state.uuids.delete(uuid);
  }

  #write(now: Instant, { key, uuid, ttl, value }: KvsetCommand): void {
    const { uuids } = this.state;
    if (!this.#server.isActive) return this.#ignore('passive');
    if (uuids.has(uuid)) return this.#ignore('repeated');
    const kind = value.length === 0 ? 'delete' : 'set';
    if (!this.#server.stage(now, { kind, key, ttl, value, uuid })) return this.#ignore('full');
    if (uuid === '') return;
    uuids.push(uuid);
    if (uuids.size > UUID_LIMIT) uuids.delete(uuids.first!);
  }

  #ignore(reason: 'passive' | 'repeated' | 'full'): void {
    this.#outbox.emit({ type: 'stockWriteIgnored', reason });
  }

  #advance(now: Instant, to: Address, snapshot: Snapshot): void {
    if (snapshot.isFull) return;
    const { state } = this;
    const { sequence, subtree } = snapshot;
    for (let steps = 0; !snapshot.isOver; steps++) {
      if (steps === STEP) return this.#pause(now);
      if (snapshot.next !== undefined) {
        const [key, value] = snapshot.next;
        if (!this.#send(to, snapshot, { type: 'kvsync', key, sequence, value })) return;
      }
      snapshot.step();
    }
    if (!this.#send(to, snapshot, { type: 'kthxbai', sequence, subtree })) return;
    state.snapshots.delete(to);
  }

  /** The rest comes in a moment. */
  #pause(now: Instant): void {
    this.state.continueAt = Math.min(this.state.continueAt, now + PAUSE);
  }

  #send(to: Address, snapshot: Snapshot, command: StockSays): boolean {
    snapshot.isFull = !this.#outbox.send('peers', to, command);
    if (!snapshot.isFull) snapshot.lag = 0;
    return !snapshot.isFull;
  }
}
