/**
 * What a worker answers over express: parts as the reader has room for them, then the end.
 *
 * A part leaves while the window, the bytes that its reader has promised to take, is not used up; then
 * parts wait, bounded, for `credit`. The end waits for its parts. All wait while the link is being
 * re-established, and for a queue that is full.
 */
import type { Failure } from '../../core/errors.ts';
import { sizeOf } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { UnderWay } from '../../core/reconciliation.ts';
import type { DispatchNumber, ResultCommand } from '../wire/commands.ts';
import { announcedBytes } from '../wire/large.ts';
import type { CancelReason, ExpressPort, HandlerToken, WorkerOutbox } from './worker-events.ts';

/** Plain data: one request in the hands of a handler. */
export interface Running extends UnderWay {
  readonly number: DispatchNumber;
  readonly token: HandlerToken;
  readonly key: string | undefined;
  /** When nobody waits for it any more. */
  deadlineAt: Instant;
  /** The session that it came in is over, or the broker no longer counts on this reply. */
  isOrphan: boolean;
  /** It goes on as one, and its outcome will be told of under its key. */
  isSurvivor: boolean;
  /** Of a request whose outcome is to be remembered: its parts, or undefined if they are too many. */
  written: Uint8Array[] | undefined;
  writtenBytes: number;
  /** Bytes of parts that may be on their way; `Infinity` without a limit. */
  readonly window: number;
  /** Bytes of parts sent, and how many of them the reader has taken. */
  sentBytes: number;
  takenBytes: number;
  /** Parts sent. */
  parts: number;
  /** Parts that are not, and their bytes. */
  readonly waiting: Frames[];
  waitingBytes: number;
  /** How it ends, whatever the handler returns. */
  failure: Failure | undefined;
  /** The end, once the handler has settled. */
  reply: Frames | undefined;
}

const NO_FRAMES: Frames = [];

export class ReplyWriter {
  readonly #outbox: WorkerOutbox;
  readonly #port: ExpressPort;
  readonly #bufferBytes: number;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** False while there is no session that results could belong to. */
    isOpen: false,
    /** What waits for the link, and not for its reader or handler. */
    blocked: new Set<Running>(),
  };

  /** @param bufferBytes of parts of one reply that may wait, beside a single larger one */
  constructor(outbox: WorkerOutbox, port: ExpressPort, bufferBytes: number) {
    this.#outbox = outbox;
    this.#port = port;
    this.#bufferBytes = bufferBytes;
  }

  /** A part; `written` is told once it has left, or as soon as it is known that it never will. */
  write(running: Running, body: Frames): void {
    if (running.isOrphan || running.failure !== undefined || running.reply !== undefined) {
      return this.#outbox.emit({ type: 'written', token: running.token });
    }
    const isFirst = running.waiting.length === 0;
    running.waiting.push(body);
    running.waitingBytes += sizeOf(body);
    this.flush(running);
    if (isFirst || running.waitingBytes <= this.#bufferBytes) return;
    const message = 'the parts of the reply were written faster than they are read';
    this.#endWith(running, { code: 'ERR_STREAM_OVERFLOW', message });
  }

  /** The handler has settled. True if the end has left. */
  finish(running: Running, body: Frames, failure: Failure | undefined): boolean {
    if (running.reply !== undefined) return false;
    running.reply = body;
    running.failure ??= failure;
    return this.flush(running);
  }

  /** Nobody waits any more: parts are dropped, and the end only gives the credit back. */
  cancel(running: Running, reason: CancelReason): void {
    if (running.isOrphan || isCancelled(running)) return;
    const isOver = reason === 'deadline';
    this.#endWith(running, {
      code: isOver ? 'ERR_REQUEST_EXPIRED' : 'ERR_CANCELLED',
      message: isOver ? 'the time of the request is over' : 'nobody waits for the reply',
    });
    running.deadlineAt = Infinity;
    if (running.reply !== undefined) return;
    this.#outbox.emit({ type: 'requestCancelled', token: running.token, reason });
  }

  /** It will reach no one: nothing of it is sent any more. */
  abandon(running: Running): void {
    running.isOrphan = true;
    this.state.blocked.delete(running);
    this.#dropParts(running);
  }

  /** Sends what may leave now. True if the end has. */
  flush(running: Running): boolean {
    const { isOpen, blocked } = this.state;
    const { waiting } = running;
    while (waiting.length > 0 && hasRoom(running)) {
      const body = waiting[0]!;
      if (!isOpen || !this.#send(running, body, false)) return this.#block(running);
      const bytes = sizeOf(body);
      waiting.shift();
      running.waitingBytes -= bytes;
      running.sentBytes += bytes;
      running.parts++;
      this.#outbox.emit({ type: 'written', token: running.token });
    }
    const { reply } = running;
    const hasEnded = reply !== undefined && waiting.length === 0;
    if (hasEnded && (!isOpen || !this.#send(running, reply, true))) return this.#block(running);
    if (blocked.size > 0) blocked.delete(running);
    return hasEnded;
  }

  #block(running: Running): false {
    this.state.blocked.add(running);
    return false;
  }

  #endWith(running: Running, failure: Failure): void {
    running.failure = failure;
    this.#dropParts(running);
  }

  #dropParts(running: Running): void {
    while (running.waiting.pop() !== undefined) {
      this.#outbox.emit({ type: 'written', token: running.token });
    }
    running.waitingBytes = 0;
  }

  #send(running: Running, body: Frames, final: boolean): boolean {
    const { number, parts } = running;
    const failure = final ? running.failure : undefined;
    const command: ResultCommand = {
      type: 'result',
      dialect: 'express',
      envelope: NO_FRAMES,
      body: failure === undefined ? body : NO_FRAMES,
      final,
      number,
      sequence: parts,
      failure,
    };
    const bytes = announcedBytes(command.body);
    if (bytes !== undefined) {
      this.#outbox.send(this.#port, '', { type: 'announce', dialect: 'express', bytes });
    }
    return this.#outbox.send(this.#port, '', command);
  }
}

function isCancelled({ failure }: Running): boolean {
  return failure?.code === 'ERR_CANCELLED' || failure?.code === 'ERR_REQUEST_EXPIRED';
}

/** True if another part may leave, which may exceed the window. */
function hasRoom({ sentBytes, takenBytes, window }: Running): boolean {
  return sentBytes - takenBytes < window;
}
