/**
 * The requests that a worker was given over express: in the hands of handlers, until their end is sent.
 *
 * One whose session ends, or that the broker gives up, becomes an orphan: its handler runs on and
 * takes up room, but what it returns is dropped. What comes in excess of the room is handed back.
 */
import type { Failure } from '../../core/errors.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { lostOnTheWay, type Beats } from '../../core/reconciliation.ts';
import { keepBody, type DispatchCommand, type DispatchNumber } from '../wire/commands.ts';
import { ReplyWriter, type Running } from './reply-writer.ts';
import type { CancelReason, HandlerToken, SessionHost, WorkerOutbox } from './worker-events.ts';

export class WorkerRequests {
  readonly #outbox: WorkerOutbox;
  readonly #host: SessionHost;
  readonly #writer: ReplyWriter;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** Requests that the worker takes at a time over express, orphans included. */
    room: 0,
    isDraining: false,
    running: new NumberMap<Running>(),
    /** Those of them that are not orphans. */
    dispatches: new NumberMap<Running>(),
    /** Not started, and to be handed back when there is room to say so. */
    unwanted: new Set<DispatchNumber>(),
    /** No later than the first deadline of what runs. */
    deadlineAt: Infinity,
  };

  /** @param bufferBytes of parts of one reply that may wait */
  constructor(outbox: WorkerOutbox, host: SessionHost, bufferBytes: number) {
    this.#outbox = outbox;
    this.#host = host;
    this.#writer = new ReplyWriter(outbox, bufferBytes);
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

  /** How many requests the broker may have given us at a time. */
  get credit(): number {
    const { isDraining, room } = this.state;
    return isDraining ? 0 : Math.max(0, room - this.orphans);
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
    if (state.isDraining || state.running.size >= state.room) return this.#handBack(number);
    const token = this.#host.nextToken();
    const running: Running = {
      number,
      sentAfter,
      token,
      deadlineAt: now + timeLeft,
      isOrphan: false,
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
    this.#writer.write(this.state.running.get(token)!, body);
  }

  /**
   * The handler of a request that it has is done. True if that was an orphan: its room is free again.
   * @param failure instead of a reply
   */
  finish(token: HandlerToken, body: Frames, failure: Failure | undefined): boolean {
    const running = this.state.running.get(token)!;
    if (!running.isOrphan) {
      if (this.#writer.finish(running, body, failure)) this.#forget(running);
      return false;
    }
    this.state.running.delete(token);
    this.#outbox.emit({ type: 'replyDropped', token });
    return true;
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
    this.orphanAll();
    this.state.running.clear();
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
    for (const number of this.state.unwanted) this.#handBack(number);
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
    const { token } = running;
    this.#writer.abandon(running);
    state.dispatches.delete(running.number);
    if (running.reply === undefined) return this.#outbox.emit({ type: 'requestLost', token });
    state.running.delete(token);
    this.#outbox.emit({ type: 'replyDropped', token });
  }

  #handBack(number: DispatchNumber): void {
    const { unwanted, room } = this.state;
    if (this.#outbox.send('express', '', { type: 'handBack', dialect: 'express', number })) {
      unwanted.delete(number);
    } else if (unwanted.size <= room) {
      // A broker that floods us is not remembered for it.
      unwanted.add(number);
    }
  }
}
