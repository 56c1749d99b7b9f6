/**
 * The requests that a worker was given over express: in the hands of handlers, until their end is sent.
 *
 * One whose session ends, or that the broker gives up, becomes an orphan: its handler runs on and
 * takes up room, but what it returns is dropped. What comes in excess of the room is handed back.
 *
 * In a pair of brokers an orphan under an idempotency key is a survivor: nobody tells it to stop, and
 * whoever serves is told of its outcome, as is, if it asks, of every other one under a key.
 */
import type { Failure } from '../../core/errors.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { lostOnTheWay, type Beats } from '../../core/reconciliation.ts';
import { keepBody, type DispatchCommand, type DispatchNumber } from '../wire/commands.ts';
import type { Outcome } from './outcomes.ts';
import { ReplyWriter, type Running } from './reply-writer.ts';
import type { SharedWork } from './shared-work.ts';
import type {
  CancelReason,
  ExpressPort,
  HandlerToken,
  SessionHost,
  WorkerOutbox,
} from './worker-events.ts';

export class WorkerRequests {
  readonly #outbox: WorkerOutbox;
  readonly #port: ExpressPort;
  readonly #host: Pick<SessionHost, 'nextToken'>;
  readonly #shared: SharedWork;
  readonly #bufferBytes: number;
  readonly #writer: ReplyWriter;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    running: new NumberMap<Running>(),
    /** Those of them whose handlers have not settled. */
    unsettled: 0,
    /** Those of them that are not orphans. */
    dispatches: new NumberMap<Running>(),
    /** Not started, and to be handed back when there is room to say so. */
    unwanted: new Set<DispatchNumber>(),
    /** No later than the first deadline of what runs. */
    deadlineAt: Infinity,
  };

  /** @param bufferBytes of parts of one reply that may wait, or be remembered */
  constructor(
    outbox: WorkerOutbox,
    port: ExpressPort,
    host: Pick<SessionHost, 'nextToken'>,
    shared: SharedWork,
    bufferBytes: number,
  ) {
    this.#outbox = outbox;
    this.#port = port;
    this.#host = host;
    this.#shared = shared;
    this.#bufferBytes = bufferBytes;
    this.#writer = new ReplyWriter(outbox, port, bufferBytes);
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    return [this.state, this.#writer.state];
  }

  /** Handlers that have not settled, or whose reply has not left. */
  get size(): number {
    return this.state.running.size;
  }

  /** Handlers whose request is lost, and which have not settled yet. */
  get orphans(): number {
    return this.state.running.size - this.state.dispatches.size;
  }

  /** True if no result waits to leave. */
  get hasSaidAll(): boolean {
    return this.state.running.size === this.state.unsettled;
  }

  /** How many requests the broker may have given us at a time. */
  get credit(): number {
    return this.#shared.state.isDraining ? 0 : Math.max(0, this.#room - this.orphans);
  }

  /** Requests that it may have at a time, orphans included. */
  get #room(): number {
    return this.#shared.roomBeside(this.state.unsettled);
  }

  /** The keys under which handlers are at work whose outcome can be told of. */
  *runningKeys(): Generator<string> {
    for (const running of this.state.running.values()) {
      const { key, reply } = running;
      if (key !== undefined && reply === undefined && canSurvive(running)) yield key;
    }
  }

  /** What the broker counts on, in ascending order. */
  get held(): readonly DispatchNumber[] {
    const { dispatches, unwanted } = this.state;
    return [...dispatches.keys(), ...unwanted].toSorted((one, other) => one - other);
  }

  /** True if this request is in its hands. */
  has(token: HandlerToken): boolean {
    return this.state.running.has(token);
  }

  /** A request came. @param sentAfter heartbeats that were sent before */
  start(now: Instant, command: DispatchCommand, sentAfter: number): void {
    const { state } = this;
    const { number = 0, window = Infinity, timeLeft = Infinity } = command;
    if (state.dispatches.has(number)) {
      const reason = `dispatch ${number} came twice`;
      return this.#outbox.emit({ type: 'malformed', reason });
    }
    const { isDraining } = this.#shared.state;
    if (isDraining || state.running.size >= this.#room) return this.handBack(number);
    const token = this.#host.nextToken();
    const running: Running = {
      number,
      sentAfter,
      token,
      key: command.key,
      deadlineAt: now + timeLeft,
      isOrphan: false,
      isSurvivor: false,
      written: NO_PARTS,
      writtenBytes: 0,
      window,
      sentBytes: 0,
      takenBytes: 0,
      parts: 0,
      waiting: [],
      waitingBytes: 0,
      failure: undefined,
      reply: undefined,
    };
    state.running.set(token, running);
    state.unsettled++;
    this.#shared.state.unsettled++;
    state.dispatches.set(number, running);
    state.deadlineAt = Math.min(state.deadlineAt, running.deadlineAt);
    this.#outbox.emit({
      type: 'request',
      token,
      body: keepBody(command),
      attempt: command.attempt ?? 1,
      deadlineAt: running.deadlineAt,
      idempotencyKey: command.key,
      headers: command.headers === undefined ? undefined : new Uint8Array(command.headers),
    });
  }

  /** A part of the reply to a request that it has. */
  write(token: HandlerToken, body: Frames): void {
    const running = this.state.running.get(token)!;
    if (running.key !== undefined && this.#shared.epochs.isPair) this.#keepPart(running, body);
    this.#writer.write(running, body);
  }

  /** Whoever is told of the outcome is told all of it. */
  #keepPart(running: Running, body: Frames): void {
    if (running.written === undefined || running.reply !== undefined) return;
    running.writtenBytes += sizeOf(body);
    if (running.writtenBytes <= this.#bufferBytes) {
      if (running.written === NO_PARTS) running.written = [...body];
      else running.written.push(...body);
      return;
    }
    running.written = undefined;
    if (!running.isSurvivor) return;
    running.isSurvivor = false;
    this.#outbox.emit({ type: 'requestLost', token: running.token });
  }

  /**
   * The handler of a request that it has is done. True if that was an orphan: its room is free again.
   * @param failure instead of a reply
   */
  finish(now: Instant, token: HandlerToken, body: Frames, failure: Failure | undefined): boolean {
    const running = this.state.running.get(token)!;
    const { isOrphan, key, reply } = running;
    if (reply !== undefined) return false;
    this.#settled(1);
    const outcome = key === undefined ? undefined : this.#outcomeOf(running, body, failure);
    if (isOrphan) this.#dropOrphan(running);
    else if (this.#writer.finish(running, body, failure)) this.#forget(running);
    if (outcome !== undefined) {
      this.#shared.ended(now, key!, outcome, isOrphan ? undefined : this.#port);
    }
    return isOrphan;
  }

  /** What is to be remembered, if anything is. */
  #outcomeOf(running: Running, body: Frames, failure: Failure | undefined): Outcome | undefined {
    const { written } = running;
    if (!this.#shared.epochs.isPair || !canSurvive(running)) return undefined;
    if (failure !== undefined) return { body: NO_PARTS, failure };
    return { body: written === NO_PARTS ? body : [...written!, ...body], failure };
  }

  #settled(count: number): void {
    this.state.unsettled -= count;
    this.#shared.state.unsettled -= count;
  }

  #dropOrphan({ token, isSurvivor }: Running): void {
    this.state.running.delete(token);
    this.#outbox.emit({ type: isSurvivor ? 'replyKept' : 'replyDropped', token });
  }

  /** Nobody waits for it any more. */
  cancel(number: DispatchNumber, reason: CancelReason): void {
    const running = this.state.dispatches.get(number);
    if (running === undefined) return;
    this.#writer.cancel(running, reason);
    this.#flush(running);
  }

  /** Its reader has taken so many bytes of what was sent. */
  credited(number: DispatchNumber, bytes: number): void {
    const running = this.state.dispatches.get(number);
    if (running === undefined) return;
    running.takenBytes = Math.max(running.takenBytes, bytes);
    this.#flush(running);
  }

  /** Cancels those whose deadline has passed. */
  expire(now: Instant): void {
    const { state } = this;
    if (state.deadlineAt > now) return;
    state.deadlineAt = Infinity;
    for (const { deadlineAt, number } of state.dispatches.values()) {
      if (deadlineAt <= now) this.cancel(number, 'deadline');
      else state.deadlineAt = Math.min(state.deadlineAt, deadlineAt);
    }
  }

  /** The broker says what it has given us: what it no longer counts on is in vain. */
  reconcile(
    beats: Beats,
    heartbeat: { readonly beat: number; readonly echo: number; readonly held: readonly number[] },
  ): void {
    for (const running of lostOnTheWay(beats, heartbeat, this.state.dispatches.values())) {
      this.#orphan(running);
    }
  }

  /** The session that all came in is over, or the broker knows nothing of it. */
  orphanAll(): void {
    this.state.deadlineAt = Infinity;
    this.state.unwanted.clear();
    for (const running of this.state.dispatches.values()) this.#orphan(running);
  }

  /** The handlers will not be waited for. */
  forgetAll(): void {
    const { state } = this;
    this.orphanAll();
    for (const { isSurvivor, token } of state.running.values()) {
      if (isSurvivor) this.#outbox.emit({ type: 'requestLost', token });
    }
    state.running.clear();
    this.#settled(state.unsettled);
  }

  /** There is no session that results could belong to. */
  hold(): void {
    this.#writer.state.isOpen = false;
  }

  /** The broker knows the session. */
  release(): void {
    this.#writer.state.isOpen = true;
    for (const running of this.state.dispatches.values()) {
      this.#flush(running);
    }
  }

  /** The queue has room again. */
  flush(): void {
    if (!this.#writer.state.isOpen) return;
    for (const number of this.state.unwanted) this.handBack(number);
    for (const running of this.#writer.state.blocked) this.#flush(running);
  }

  #flush(running: Running): void {
    if (this.#writer.flush(running)) this.#forget(running);
  }

  #forget(running: Running): void {
    this.state.running.delete(running.token);
    this.state.dispatches.delete(running.number);
  }

  #orphan(running: Running): void {
    const { state } = this;
    const { token, key, reply } = running;
    state.dispatches.delete(running.number);
    running.isSurvivor =
      key !== undefined && this.#shared.epochs.isPair && this.#isToldOf(key, running);
    this.#writer.abandon(running);
    if (reply !== undefined) return this.#dropOrphan(running);
    if (!running.isSurvivor) this.#outbox.emit({ type: 'requestLost', token });
  }

  /** Its outcome is remembered, or will be. */
  #isToldOf(key: string, running: Running): boolean {
    if (running.reply === undefined) return canSurvive(running);
    return this.#shared.outcomes.get(key) !== undefined;
  }

  /** It is not started: another worker may have it. */
  handBack(number: DispatchNumber): void {
    const { unwanted } = this.state;
    if (this.#outbox.send(this.#port, '', { type: 'handBack', dialect: 'express', number })) {
      unwanted.delete(number);
    } else if (unwanted.size <= this.#shared.state.room) {
      // A broker that floods us is not remembered for it.
      unwanted.add(number);
    }
  }
}

const NO_PARTS: never[] = [];

/** Somebody may still want its outcome, and all of it is there. */
function canSurvive({ isOrphan, isSurvivor, failure, written }: Running): boolean {
  if (isOrphan && !isSurvivor) return false;
  return failure === undefined && written !== undefined;
}
