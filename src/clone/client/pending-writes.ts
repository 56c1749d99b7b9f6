/**
 * The writes of a Clone client, from the call to their outcome.
 *
 *   waiting ──► sent ──result──► answered ──the map shows it──► done
 *                ▲ │
 *                │ └── another link, nothing heard for an expiry, the server lacks one: again, in order
 *              again
 *
 * Each gets a number when it is sent for the first time, so that what never left leaves no hole. The
 * server does them in the order of their numbers, and each once, however often it is sent. Whoever gives
 * one up that was sent moves the floor beyond it, as soon as all before it are finished: then it is done no
 * more if it was not before. What is answered is told only once the map shows it: read your writes.
 */
import { BoundedQueue } from '../../core/bounded-queue.ts';
import { Deadlines } from '../../core/deadlines.ts';
import type { Epoch } from '../../core/election.ts';
import { Fifo } from '../../core/fifo.ts';
import type { Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import type { ClientCall, WriteOutcome } from '../client-events.ts';
import type {
  ExpectedCommand,
  ResultCommand,
  Sequence,
  WriteCommand,
  WriteKind,
} from '../commands.ts';
import { isUnder, overlap } from '../key.ts';

export type WriteCall = Extract<ClientCall, { readonly type: 'write' }>;

export interface PendingWriteSettings {
  readonly subtree: string;
  readonly inFlightLimit: number;
  readonly queueLimit: number;
  readonly queueBytes: number;
  readonly heartbeatInterval: number;
}

/** What writes need of the world. */
export interface WriteOwner {
  /** False: there is no room, and nothing was sent. */
  send(command: WriteCommand): boolean;
  handleOutcome(token: number, outcome: WriteOutcome): void;
  /** Up to here the map shows all that the server did; -1: nobody knows. */
  readonly shown: Sequence;
  /** Milliseconds without a result after which writes are repeated. */
  readonly expiry: number;
}

interface PendingWrite {
  readonly token: number;
  readonly kind: WriteKind;
  readonly key: string;
  readonly ttl: number | undefined;
  readonly ifMatch: Sequence | undefined;
  readonly value: Uint8Array | undefined;
  readonly bytes: number;
  readonly deadlineAt: Instant;
  /** 0: never sent. */
  number: number;
  sentAt: Instant;
  answer: ResultCommand | undefined;
}

interface Missing {
  readonly number: number;
  /** It was given up: once all before it are finished the server can be told so. */
  isGivenUp: boolean;
  /** It was said too soon after all was sent again: if it is so still, that is done once more. */
  isLater: boolean;
}

/** What a write costs beside its key and value, in bytes. */
const OVERHEAD = 200;

export class PendingWrites {
  readonly #settings: PendingWriteSettings;
  readonly #owner: WriteOwner;
  /** Plain data, for the fingerprint. */
  readonly state = {
    all: new NumberMap<PendingWrite>(),
    /** Those with a number, ascending; each is in one of the three below too. */
    numbered: new Fifo<number, PendingWrite>(),
    sent: new Fifo<PendingWrite>(),
    again: new Fifo<PendingWrite>(),
    answered: new Fifo<PendingWrite>(),
    /** Bytes of those with a number. */
    bytes: 0,
    lastNumber: 0,
    /** A server serves at the other end, under this epoch, and there is room on the way to it. */
    isLinked: false,
    epoch: 0,
    isWritable: true,
    /** What the server said last to be missing, and until when nothing is sent again for that. */
    missing: undefined as Missing | undefined,
    repeatedUntilAt: -Infinity,
    /** When room that came free is given to those who wait. */
    fillAt: Infinity,
  };
  readonly #line: BoundedQueue<PendingWrite>;
  readonly #deadlines = new Deadlines<PendingWrite>();

  constructor(settings: PendingWriteSettings, owner: WriteOwner) {
    this.#settings = settings;
    this.#owner = owner;
    this.#line = new BoundedQueue({ limit: settings.queueLimit, bytes: settings.queueBytes });
  }

  /** Plain data, for the fingerprint. */
  get states(): readonly unknown[] {
    return [this.state, [...this.#line]];
  }

  get nextTimeout(): Instant {
    return Math.min(this.#deadlines.next, this.#repeatAt, this.state.fillAt);
  }

  /** Writes without an outcome; how many of them were sent, and how many wait. */
  get size(): number {
    return this.state.all.size;
  }

  get inFlight(): number {
    return this.state.numbered.size;
  }

  get waiting(): number {
    return this.#line.size;
  }

  /** True if there are some that only the map must show before they are done. */
  get isAnswered(): boolean {
    return this.state.answered.size > 0;
  }

  // From the user

  accept(now: Instant, call: WriteCall): void {
    const { token, kind, key, ttl, ifMatch, value, timeout } = call;
    const bytes = OVERHEAD + key.length + (value?.byteLength ?? 0);
    const deadlineAt = now + timeout;
    const write: PendingWrite = {
      token,
      kind,
      key,
      ttl,
      ifMatch,
      value,
      bytes,
      deadlineAt,
      number: 0,
      sentAt: -Infinity,
      answer: undefined,
    };
    // Whoever waits is older.
    const isSent = this.#line.size === 0 && this.#begin(now, write);
    // One that is larger than the bound waits alone.
    if (!isSent && !this.#line.push(write, Math.min(bytes, this.#settings.queueBytes))) {
      return this.#owner.handleOutcome(token, { outcome: 'queueFull' });
    }
    this.state.all.set(token, write);
    this.#deadlines.set(write, deadlineAt);
  }

  abandon(now: Instant, token: number): void {
    const write = this.state.all.get(token);
    if (write === undefined) return;
    this.#giveUp(write, 'abandoned');
    // Where one is, many are (a shared AbortSignal): none is sent that ends a moment later.
    this.state.fillAt = Math.min(this.state.fillAt, now + 1);
  }

  /** Every one ends. */
  close(): void {
    for (const write of this.state.all.values()) this.#giveUp(write, 'closed');
    this.state.fillAt = Infinity;
  }

  // From the link

  /** A server serves, under this epoch: what it may not have is sent to it, in order. */
  handleServed(now: Instant, epoch: Epoch): void {
    const { state } = this;
    if (state.isLinked && state.epoch === epoch) return;
    // What another one has answered, and the map does not show yet, this one may not have: it is asked.
    if (state.epoch !== epoch) this.#forgetAnswers();
    state.epoch = epoch;
    state.isLinked = true;
    state.isWritable = true;
    state.missing = undefined;
    this.#repeat(now);
    // Of an earlier round nothing can be on this way.
    state.repeatedUntilAt = -Infinity;
  }

  handleUnserved(): void {
    this.state.isLinked = false;
  }

  handleWritable(now: Instant): void {
    this.state.isWritable = true;
    this.#fill(now);
  }

  /** False: nobody asked for it. */
  handleResult(now: Instant, result: ResultCommand): boolean {
    const { state } = this;
    const write = state.numbered.get(result.number);
    if (!state.isLinked || write === undefined || write.answer !== undefined) return false;
    const { refusal, revision, retryAfter } = result;
    if (refusal !== undefined) {
      this.#finish(write, { outcome: 'refused', refusal, revision, retryAfter });
    } else {
      write.answer = result;
      if (this.#isShown(write)) this.#finishDone(write);
      else {
        state.sent.delete(write);
        state.again.delete(write);
        state.answered.push(write);
      }
    }
    this.#fill(now);
    return true;
  }

  /** False: it was never promised. */
  handleExpected(now: Instant, { number }: ExpectedCommand): boolean {
    const { state } = this;
    if (!state.isLinked || number > state.lastNumber) return false;
    // Each that was under way says so, also of those that are missing until they come again: to repeat all
    // for each of them would make more of both without end.
    const isLater = now < state.repeatedUntilAt;
    state.missing = { number, isGivenUp: !state.numbered.has(number), isLater };
    if (!isLater) this.#repeat(now);
    return true;
  }

  /** The map shows more than before. @param isAll whether older answers may be shown too */
  handleShown(now: Instant, isAll: boolean): void {
    const { answered } = this.state;
    while (answered.size > 0 && this.#isShown(answered.first!)) this.#finishDone(answered.first!);
    if (isAll) {
      for (const write of answered) if (this.#isShown(write)) this.#finishDone(write);
    }
    this.#fill(now);
  }

  handleTimeout(now: Instant): void {
    let isDue = this.state.fillAt <= now;
    for (;;) {
      const write = this.#deadlines.takeDue(now);
      if (write === undefined) break;
      this.#giveUp(write, 'timeout');
      isDue = true;
    }
    if (this.#repeatAt <= now) this.#repeat(now);
    else if (isDue) this.#fill(now);
  }

  // A write's life

  get #repeatAt(): Instant {
    const { isLinked, sent, missing, repeatedUntilAt } = this.state;
    if (!isLinked || sent.size === 0) return Infinity;
    const at = sent.first!.sentAt + this.#owner.expiry;
    return missing?.isLater === true ? Math.min(at, repeatedUntilAt) : at;
  }

  /** The first that it still wants to know of. */
  get #floor(): number {
    return this.state.numbered.first ?? this.state.lastNumber + 1;
  }

  /** Sends one for the first time. False: it cannot be now. */
  #begin(now: Instant, write: PendingWrite): boolean {
    const { state } = this;
    const { inFlightLimit, queueBytes } = this.#settings;
    if (!state.isLinked || !state.isWritable) return false;
    if (state.numbered.size >= inFlightLimit) return false;
    if (state.bytes > 0 && state.bytes + write.bytes > queueBytes) return false;
    if (!this.#send(now, write, state.lastNumber + 1)) return false;
    state.lastNumber++;
    write.number = state.lastNumber;
    state.numbered.push(write.number, write);
    state.bytes += write.bytes;
    return true;
  }

  #send(now: Instant, write: PendingWrite, number: number): boolean {
    const { state } = this;
    const { kind, key, ttl, ifMatch, value } = write;
    const floor = Math.min(this.#floor, number);
    const frames = value === undefined ? [] : [value];
    const command = {
      type: 'write',
      number,
      floor,
      kind,
      key,
      ttl,
      ifMatch,
      value: frames,
    } as const;
    state.isWritable = this.#owner.send(command);
    if (!state.isWritable) return false;
    write.sentAt = now;
    state.sent.push(write);
    return true;
  }

  /** All that has no answer is sent again, in order. */
  #repeat(now: Instant): void {
    const { state } = this;
    if (state.missing !== undefined) state.missing.isLater = false;
    state.repeatedUntilAt = now + this.#settings.heartbeatInterval;
    // What was sent has lower numbers than what is still to be sent again.
    const behind = [...state.again];
    for (const write of behind) state.again.delete(write);
    for (const write of state.sent) {
      state.sent.delete(write);
      state.again.push(write);
    }
    for (const write of behind) state.again.push(write);
    this.#fill(now);
  }

  #forgetAnswers(): void {
    const { state } = this;
    if (state.answered.size === 0) return;
    for (const write of state.answered) {
      write.answer = undefined;
      state.answered.delete(write);
    }
    for (const write of state.sent) state.sent.delete(write);
    for (const write of state.again) state.again.delete(write);
    for (const write of state.numbered.values()) state.again.push(write);
  }

  /** Sends what there is room for: what was sent before goes first. */
  #fill(now: Instant): void {
    const { state } = this;
    state.fillAt = Infinity;
    // The server waits for one that was given up. As soon as the floor is beyond it, it need not any more.
    if (state.missing !== undefined && state.missing.number < this.#floor) {
      const { isGivenUp } = state.missing;
      state.missing = undefined;
      if (isGivenUp) return this.#repeat(now);
    }
    while (state.isLinked && state.isWritable && state.again.size > 0) {
      const write = state.again.first!;
      if (!this.#send(now, write, write.number)) return;
      state.again.delete(write);
    }
    while (this.#line.size > 0) {
      const write = this.#line.peek()!;
      if (!this.#begin(now, write)) return;
      this.#line.delete(write);
    }
  }

  /** What is not followed here is shown as soon as it is done. */
  #isShown({ kind, key, answer }: PendingWrite): boolean {
    const { subtree } = this.#settings;
    const isFollowed = kind === 'clear' ? overlap(subtree, key) : isUnder(subtree, key);
    return !isFollowed || answer!.revision <= this.#owner.shown;
  }

  #finishDone(write: PendingWrite): void {
    const { revision, isReplicated } = write.answer!;
    this.#finish(write, { outcome: 'done', revision, isReplicated });
  }

  #giveUp(write: PendingWrite, outcome: 'timeout' | 'abandoned' | 'closed'): void {
    const { missing } = this.state;
    if (missing?.number === write.number) missing.isGivenUp = true;
    this.#finish(write, { outcome, maybeDone: write.number > 0 });
  }

  #finish(write: PendingWrite, outcome: WriteOutcome): void {
    const { state } = this;
    state.all.delete(write.token);
    this.#deadlines.delete(write);
    if (write.number === 0) this.#line.delete(write);
    else {
      state.numbered.delete(write.number);
      state.sent.delete(write);
      state.again.delete(write);
      state.answered.delete(write);
      state.bytes -= write.bytes;
    }
    this.#owner.handleOutcome(write.token, outcome);
  }
}
