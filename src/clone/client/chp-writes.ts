/**
 * The writes of a client of a stock server (12/CHP), which acknowledges nothing: one is done once its uuid
 * comes back in an update, or the map shows what it wanted.
 *
 * What has no echo is said again under the same uuid. A stock server does it again then, so one key has
 * one write under way: a later one is never undone by an earlier one that is repeated. Nor does it know
 * `clear`: when its turn comes it is a delete of each key that the map shows there.
 */
import { BoundedQueue } from '../../core/bounded-queue.ts';
import { Deadlines } from '../../core/deadlines.ts';
import { Fifo } from '../../core/fifo.ts';
import { EMPTY_FRAME, equalBytes } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type { ClientCall, WriteOutcome } from '../client-events.ts';
import type { KvsetCommand, Sequence, WriteKind, WriterId } from '../commands.ts';
import { isUnder } from '../key.ts';
import type { ReplicaItem } from './replica.ts';

export type WriteCall = Extract<ClientCall, { readonly type: 'write' }>;

export interface ChpWriteSettings {
  readonly inFlightLimit: number;
  readonly queueLimit: number;
  readonly queueBytes: number;
  readonly writer: WriterId;
  /** Milliseconds without an echo after which a write is repeated. */
  readonly expiry: number;
}

/** What writes need of the world. */
export interface ChpWriteOwner {
  /** What the map shows. */
  readonly items: ReadonlyMap<string, ReplicaItem>;
  readonly subtree: string;
  send(command: KvsetCommand): boolean;
  handleOutcome(token: number, outcome: WriteOutcome): void;
}

/** What the user waits for: one write, or the deletes that a `clear` is here. */
interface Wish {
  readonly token: number;
  readonly writes: Set<Write>;
  readonly deadlineAt: Instant;
  wasSent: boolean;
  /** The highest of its writes. */
  revision: Sequence;
}

interface Write {
  readonly wish: Wish;
  readonly kind: WriteKind;
  readonly key: string;
  readonly ttl: number | undefined;
  /** Empty: it is deleted. */
  readonly value: Uint8Array;
  /** Given when it is sent. */
  uuid: string;
  /** The revision that the key had as it was sent for the first time; 0 for none. */
  before: Sequence;
  /** `Infinity`: not under way. */
  repeatAt: Instant;
}

/** What a write costs beside its key and value, in bytes. */
const OVERHEAD = 200;

const UUID_HALF = 8;

export class ChpWrites {
  readonly #settings: ChpWriteSettings;
  readonly #owner: ChpWriteOwner;
  /** Plain data, for the fingerprint. */
  readonly state = {
    wishes: new Map<number, Wish>(),
    /** Under way, by their uuids: in the order in which they were sent last. */
    sent: new Map<string, Write>(),
    /** Keys that have a write under way. */
    keys: new Set<string>(),
    isLinked: false,
    /** There is room on the way to it. */
    isWritable: true,
    count: 0,
  };
  readonly #line: BoundedQueue<Write>;
  /** The deletes of a clear whose turn has come: they go before the line. */
  readonly #cleared = new Fifo<Write>();
  readonly #deadlines = new Deadlines<Wish>();

  constructor(settings: ChpWriteSettings, owner: ChpWriteOwner) {
    this.#settings = settings;
    this.#owner = owner;
    this.#line = new BoundedQueue({ limit: settings.queueLimit, bytes: settings.queueBytes });
  }

  get states(): readonly unknown[] {
    return [this.state, [...this.#cleared], [...this.#line]];
  }

  get nextTimeout(): Instant {
    return Math.min(this.#deadlines.next, this.#repeatAt);
  }

  /** Without an outcome. */
  get size(): number {
    return this.state.wishes.size;
  }

  get inFlight(): number {
    return this.state.sent.size;
  }

  get waiting(): number {
    return this.#cleared.size + this.#line.size;
  }

  accept(now: Instant, call: WriteCall): void {
    const { token, kind, key, ttl, value = EMPTY_FRAME, timeout } = call;
    const refused = { outcome: 'refused', revision: 0, retryAfter: undefined } as const;
    // There is no way to say it.
    if (call.ifMatch !== undefined) {
      return this.#owner.handleOutcome(token, { ...refused, refusal: 'conflict' });
    }
    if (kind === 'set' && value.length === 0) {
      return this.#owner.handleOutcome(token, { ...refused, refusal: 'invalidValue' });
    }
    const deadlineAt = now + timeout;
    const wish: Wish = { token, writes: new Set(), deadlineAt, wasSent: false, revision: 0 };
    const write = newWrite(wish, kind, key, ttl, value);
    const bytes = OVERHEAD + key.length + value.length;
    // One that is larger than the bound waits alone.
    if (!this.#line.push(write, Math.min(bytes, this.#settings.queueBytes))) {
      return this.#owner.handleOutcome(token, { outcome: 'queueFull' });
    }
    this.state.wishes.set(token, wish);
    this.#deadlines.set(wish, deadlineAt);
    this.#fill(now);
  }

  abandon(now: Instant, token: number): void {
    const wish = this.state.wishes.get(token);
    if (wish === undefined) return;
    this.#end(wish, { outcome: 'abandoned', maybeDone: wish.wasSent });
    this.#fill(now);
  }

  /** Every one ends. */
  close(): void {
    for (const wish of this.state.wishes.values()) {
      this.#end(wish, { outcome: 'closed', maybeDone: wish.wasSent });
    }
  }

  /** A server is there whose map this is. What another one may not have got is said to it. */
  handleLinked(now: Instant): void {
    const { state } = this;
    for (const write of state.sent.values()) {
      const revision = this.#shownAt(write);
      if (revision !== undefined) this.#done(write, revision);
      else if (!state.isLinked) write.repeatAt = now;
    }
    state.isWritable ||= !state.isLinked;
    state.isLinked = true;
    this.#repeat(now);
    this.#fill(now);
  }

  handleUnlinked(): void {
    this.state.isLinked = false;
  }

  /** The map shows an update with this uuid. */
  handleEcho(now: Instant, uuid: string, sequence: Sequence): void {
    const write = uuid === '' ? undefined : this.state.sent.get(uuid);
    if (write === undefined) return;
    this.#done(write, sequence);
    this.#fill(now);
  }

  handleWritable(now: Instant): void {
    this.state.isWritable = true;
    this.#fill(now);
  }

  handleTimeout(now: Instant): void {
    const isDue = this.nextTimeout <= now;
    for (;;) {
      const wish = this.#deadlines.takeDue(now);
      if (wish === undefined) break;
      this.#end(wish, { outcome: 'timeout', maybeDone: wish.wasSent });
    }
    if (this.#repeatAt <= now) this.#repeat(now);
    if (isDue) this.#fill(now);
  }

  get #repeatAt(): Instant {
    if (!this.state.isLinked) return Infinity;
    for (const { repeatAt } of this.state.sent.values()) return repeatAt;
    return Infinity;
  }

  /** Sends what waits, in order, up to one whose key has a write under way. */
  #fill(now: Instant): void {
    const { sent, keys, isLinked } = this.state;
    if (!isLinked || !this.state.isWritable) return;
    while (sent.size < this.#settings.inFlightLimit) {
      const write = this.#cleared.first ?? this.#line.peek();
      if (write === undefined || this.#isUnderWay(write)) return;
      if (write.kind === 'clear') this.#clear(write);
      else {
        if (write.uuid === '') write.uuid = this.#newUuid();
        write.before = this.#owner.items.get(write.key)?.revision ?? 0;
        if (!this.#send(now, write)) return;
        this.#dequeue(write);
        keys.add(write.key);
      }
    }
  }

  /** True if it changes what another one changes that has no echo yet. */
  #isUnderWay({ kind, key }: Write): boolean {
    const { keys } = this.state;
    if (kind !== 'clear') return keys.has(key);
    for (const each of keys) if (isUnder(key, each)) return true;
    return false;
  }

  /** The map shows what all before it did: each of the keys there is deleted now. */
  #clear(write: Write): void {
    const { wish, key: subtree } = write;
    for (const key of this.#owner.items.keys()) {
      if (!isUnder(subtree, key)) continue;
      this.#cleared.push(newWrite(wish, 'delete', key, undefined, EMPTY_FRAME));
    }
    this.#done(write, 0);
  }

  #send(now: Instant, write: Write): boolean {
    const { key, ttl, value, uuid, wish } = write;
    const { sent } = this.state;
    this.state.isWritable = this.#owner.send({ type: 'kvset', key, uuid, ttl, value });
    if (!this.state.isWritable) return false;
    sent.delete(uuid);
    sent.set(uuid, write);
    wish.wasSent = true;
    write.repeatAt = now + this.#settings.expiry;
    return true;
  }

  #repeat(now: Instant): void {
    for (const write of this.state.sent.values()) {
      if (write.repeatAt > now) return;
      const revision = this.#shownAt(write);
      if (revision !== undefined) this.#done(write, revision);
      // There is no room: in a while.
      else if (!this.#send(now, write)) write.repeatAt = now + this.#settings.expiry;
    }
  }

  /** The revision at which the map shows that it was done; undefined: it does not. */
  #shownAt({ key, value, before }: Write): Sequence | undefined {
    const { items, subtree } = this.#owner;
    if (!isUnder(subtree, key)) return undefined;
    const item = items.get(key);
    if (item === undefined) return value.length === 0 ? 0 : undefined;
    // The same as before proves nothing: it may have another ttl.
    if (item.revision === before) return undefined;
    return equalBytes(item.value, value) ? item.revision : undefined;
  }

  /** Unique: who writes, and how many it has written. */
  #newUuid(): string {
    let rest = ++this.state.count;
    let uuid = '';
    for (let index = 0; index < UUID_HALF; index++) {
      uuid = String.fromCharCode(rest % 256) + uuid;
      rest = Math.floor(rest / 256);
    }
    return this.#settings.writer.padEnd(UUID_HALF, '\0').slice(0, UUID_HALF) + uuid;
  }

  #done(write: Write, revision: Sequence): void {
    const { wish } = write;
    this.#leave(write);
    wish.revision = Math.max(wish.revision, revision);
    if (wish.writes.size === 0) this.#finish(wish);
  }

  #finish(wish: Wish): void {
    this.#end(wish, { outcome: 'done', revision: wish.revision, isReplicated: false });
  }

  #end(wish: Wish, outcome: WriteOutcome): void {
    this.#forget(wish);
    this.state.wishes.delete(wish.token);
    this.#deadlines.delete(wish);
    this.#owner.handleOutcome(wish.token, outcome);
  }

  #forget(wish: Wish): void {
    for (const write of wish.writes) this.#leave(write);
  }

  #leave(write: Write): void {
    const { sent, keys } = this.state;
    write.wish.writes.delete(write);
    this.#dequeue(write);
    if (sent.get(write.uuid) !== write) return;
    sent.delete(write.uuid);
    keys.delete(write.key);
  }

  #dequeue(write: Write): void {
    this.#line.delete(write);
    this.#cleared.delete(write);
  }
}

function newWrite(
  wish: Wish,
  kind: WriteKind,
  key: string,
  ttl: number | undefined,
  value: Uint8Array,
): Write {
  const write = { wish, kind, key, ttl, value, uuid: '', before: 0, repeatAt: Infinity };
  wish.writes.add(write);
  return write;
}
