/**
 * What becomes of a request: it ends, it is closed, it is discarded. Each of these is stored first, and
 * shown when that is durable; what a store refuses has not happened.
 *
 * Of what is to be done with a request while something of it is being written, closing goes first, then
 * its end, then its next attempt.
 */
import { byteLength } from '../core/frames.ts';
import type { Frames, Instant } from '../core/machine.ts';
import type { RequestId } from './commands.ts';
import { storeRefusal } from './answers.ts';
import type { Parts } from './parts.ts';
import { deletesOf, encodeMeta, keyOf, RECORD_BITS } from './records.ts';
import { isShown, type Ending, type Pending, type StoredRequest } from './requests.ts';
import type { AskToken, AttemptEnd, ExecutionToken } from './titanic-events.ts';
import type { EndWrite, RequestWrite, SweepWrite } from './writes.ts';

/** Characters of the reason why a request is dead. */
const MESSAGE_LIMIT = 1000;

const NOT_KEPT = 'its reply could not be stored, and there was no room to keep it';

export class Lives {
  readonly #parts: Parts;
  /** Those whose end waits for a store that refuses, and the bytes of their replies. */
  readonly #kept = new Set<StoredRequest>();
  #keptBytes = 0;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Bytes of replies that wait for the store. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Goes on with a request of which nothing is being written: with what comes first. */
  advance(now: Instant, request: StoredRequest): void {
    if (request.write !== undefined) return;
    if (request.closers !== undefined) return this.#writeClose(now, request, request.closers);
    const { pending } = request;
    if (pending === undefined) return;
    if (pending.ending !== undefined) return this.#writeEnd(pending, pending.ending);
    if (pending.hasRoom) return;
    this.#parts.attempts.place(now, pending);
    this.#parts.attempts.serve(now, request.service!);
  }

  /** What was to be stored before its next attempt is: that begins, unless something else comes first. */
  proceed(now: Instant, pending: Pending): void {
    const { attempts } = this.#parts;
    const { request, hasRoom } = pending;
    const { closers, service } = request;
    if (closers === undefined && pending.ending === undefined) {
      if (pending.deadlineAt <= now) return this.#expire(now, pending);
      if (hasRoom) {
        if (!attempts.begin(now, pending)) this.#handBack(now, pending);
        return;
      }
    }
    attempts.leave(pending);
    this.advance(now, request);
    attempts.serve(now, service!);
  }

  // Attempts

  /** An attempt was stored as begun, or the store refused that. */
  begun(now: Instant, { request }: RequestWrite, error: Error | undefined): void {
    const { pending } = request;
    if (error === undefined) request.stored |= RECORD_BITS.attempts;
    if (pending === undefined) return this.advance(now, request);
    if (error === undefined) {
      pending.begun = request.attempts + 1;
      return this.proceed(now, pending);
    }
    this.#parts.attempts.leave(pending);
    this.#putBack(now, pending);
  }

  /** It was stored that an attempt did not start, or the store refused that. */
  returned(now: Instant, { request }: RequestWrite, error: Error | undefined): void {
    const { pending } = request;
    if (error === undefined) request.stored |= RECORD_BITS.attempts;
    if (pending === undefined) return this.advance(now, request);
    if (error === undefined) pending.begun = request.attempts;
    this.#putBack(now, pending);
  }

  /** An attempt that is stored as begun did not start: that is stored too, so that it is free for ever. */
  #handBack(now: Instant, pending: Pending): void {
    const { attempts, requests, writes } = this.#parts;
    attempts.leave(pending);
    requests.show(pending.request, 'waiting');
    if (writes.takesAll) attempts.takeBack(pending);
    else this.#putBack(now, pending);
  }

  /** It goes first when its service is tried again. */
  #putBack(now: Instant, pending: Pending): void {
    const { attempts } = this.#parts;
    const { request } = pending;
    if (request.closers !== undefined || pending.ending !== undefined) {
      return this.advance(now, request);
    }
    attempts.place(now, pending, true);
    attempts.serve(now, request.service!);
  }

  replied(now: Instant, execution: ExecutionToken, body: Frames): void {
    const { attempts } = this.#parts;
    const request = attempts.take(execution);
    if (request?.pending === undefined) return;
    const { pending } = request;
    const fault = attempts.faultOf(body);
    if (fault !== undefined) return this.#failed(now, pending, 'failed', fault);
    if (!this.#canKeep(byteLength(body))) return this.#failed(now, pending, 'lost', NOT_KEPT);
    attempts.found(request.service!);
    const finished = this.#parts.wall(now);
    this.settle(now, pending, { type: 'done', finished, body });
  }

  attemptFailed(now: Instant, execution: ExecutionToken, end: AttemptEnd, message: string): void {
    const request = this.#parts.attempts.take(execution);
    if (request?.pending !== undefined) this.#failed(now, request.pending, end, message);
  }

  /** The delay of a request is over, or its deadline has passed. */
  due(now: Instant, request: StoredRequest): void {
    const { pending } = request;
    if (pending === undefined) return;
    if (pending.deadlineAt > now) this.advance(now, request);
    else this.#expire(now, pending);
  }

  #expire(now: Instant, pending: Pending): void {
    const message = 'its deadline has passed';
    this.settle(now, pending, this.#dead(now, 'ERR_REQUEST_EXPIRED', message));
  }

  #failed(now: Instant, pending: Pending, end: AttemptEnd, message: string): void {
    const { attempts } = this.#parts;
    const { request } = pending;
    const service = request.service!;
    const verdict = attempts.failed(now, pending, end, message);
    if (verdict !== undefined) {
      return this.settle(now, pending, this.#dead(now, verdict.code, verdict.message));
    }
    attempts.leave(pending);
    // While it is being closed it waits for nothing.
    if (request.write === undefined) {
      if (end === 'unstarted') this.#handBack(now, pending);
      else attempts.place(now, pending);
    }
    attempts.serve(now, service);
  }

  // Ends

  /** A pending request has come to its end, which is shown once it is stored. */
  settle(now: Instant, pending: Pending, ending: Ending): void {
    const { attempts } = this.#parts;
    const { request } = pending;
    const service = request.service!;
    attempts.withdraw(pending);
    pending.ending = ending;
    this.advance(now, request);
    attempts.serve(now, service);
  }

  exhausted(now: Instant, pending: Pending): void {
    const message = 'its last attempt was under way when the Titanic ended';
    this.settle(now, pending, this.#dead(now, 'ERR_ATTEMPTS_EXHAUSTED', message));
  }

  /** The end of a request is stored, or is kept until it can be. */
  ended(now: Instant, { request, ending }: EndWrite, error: Error | undefined): void {
    const { pending } = request;
    if (error === undefined) request.stored = storedAfter(request.stored, ending);
    // It has become unreadable meanwhile.
    if (pending === undefined) return this.advance(now, request);
    if (error !== undefined) {
      if (request.closers === undefined && !this.#canKeep(bytesOf(ending))) {
        pending.ending = undefined;
        return this.#failed(now, pending, 'lost', NOT_KEPT);
      }
      this.#keep(request, ending);
      // The store is not asked again at once, unless it is about a close.
      if (request.closers !== undefined) this.advance(now, request);
      return;
    }
    const { answers, outbox, requests, retention } = this.#parts;
    const { id, attempts } = request;
    const service = request.service!.name;
    requests.settle(request);
    request.finished = ending.finished;
    if (ending.type === 'done') {
      request.bytes = byteLength(ending.body);
      requests.show(request, 'done');
      outbox.emit({ type: 'requestDone', id, service, attempts });
    } else {
      const { code, message } = ending;
      const { failures, retries, backoff } = pending;
      request.bytes += message.length;
      request.dead = { code, message, failures, policy: { retries, backoff } };
      requests.show(request, 'dead');
      outbox.emit({ type: 'deadLetter', id, service, attempts, code, reason: message });
    }
    retention.keep(request);
    answers.tell(request);
    this.advance(now, request);
  }

  /** The store takes again what it refused. */
  storeKept(now: Instant): void {
    for (const request of Array.from(this.#kept)) this.advance(now, request);
  }

  /** Its record cannot be read: it can be neither executed nor served. */
  unreadable(now: Instant, id: RequestId, reason: string): void {
    const { answers, attempts, outbox, requests, retention } = this.#parts;
    const request = requests.get(id);
    if (request === undefined || !isShown(request.state)) return;
    const { pending, dead, service } = request;
    // A reply that is only to be stored needs nothing of what was.
    if (pending?.ending?.type === 'done' || (dead !== undefined && dead.policy === undefined))
      return;
    outbox.emit({ type: 'recordUnreadable', id, reason });
    retention.release(request);
    if (pending !== undefined) {
      attempts.withdraw(pending);
      this.#unkeep(request);
      requests.settle(request);
    }
    request.dead = { code: 'ERR_STORAGE_CORRUPT', message: reason, failures: 0, policy: undefined };
    request.finished = this.#parts.wall(now);
    requests.show(request, 'dead');
    retention.keep(request);
    answers.tell(request);
    if (service !== undefined) attempts.serve(now, service);
  }

  // Closing

  close(now: Instant, token: AskToken, id: RequestId): void {
    const { answers, requests } = this.#parts;
    // Also an id that nobody knows: its submit may still be on the way.
    const request = requests.get(id) ?? requests.create(id);
    if (request.state === 'closed') return answers.done(token);
    if (request.write?.kind === 'close') return void request.write.asks.push(token);
    if (request.pending !== undefined) request.leaveLine();
    if (request.closers === undefined) request.closers = [token];
    else request.closers.push(token);
    this.advance(now, request);
  }

  closed(now: Instant, write: RequestWrite, error: Error | undefined): void {
    const { answers, outbox, requests, retention, services, attempts } = this.#parts;
    const { request, asks } = write;
    if (error !== undefined) {
      for (const token of asks) answers.refuse(token, storeRefusal(error));
      if (request.state === 'fresh') requests.forget(request);
      else this.advance(now, request);
      return;
    }
    const { pending, service, state, id } = request;
    if (pending !== undefined) {
      attempts.withdraw(pending);
      this.#unkeep(request);
      requests.settle(request);
    }
    retention.release(request);
    requests.show(request, 'closed');
    services.leave(request);
    request.stored = RECORD_BITS.closed;
    request.bytes = 0;
    request.attempts = 0;
    request.dead = undefined;
    request.finished = this.#parts.wall(now);
    retention.bury(request);
    answers.tell(request);
    if (state !== 'fresh') outbox.emit({ type: 'requestClosed', id });
    for (const token of asks) answers.done(token);
    if (service !== undefined) attempts.serve(now, service);
  }

  /** Those that were discarded are unknown from now on. */
  swept(now: Instant, write: SweepWrite, error: Error | undefined): void {
    const { outbox, requests, retention, services } = this.#parts;
    retention.swept(now, write, error === undefined);
    for (const { request, reason } of write.victims) {
      if (error === undefined) {
        requests.show(request, 'fresh');
        services.leave(request);
        request.stored = 0;
        request.dead = undefined;
        if (reason !== undefined) outbox.emit({ type: 'discarded', id: request.id, reason });
        if (request.closers === undefined) requests.forget(request);
      }
      this.advance(now, request);
    }
  }

  /** Who waits for something that is being written, or is to be, and now learns nothing of it. */
  takeAsks(): AskToken[] {
    const { requests, writes } = this.#parts;
    const tokens: AskToken[] = [];
    for (const write of writes) {
      if ('asks' in write) tokens.push(...write.asks.splice(0));
    }
    for (const request of requests.entries.values()) {
      tokens.push(...(request.closers ?? []));
      request.closers = undefined;
    }
    return tokens;
  }

  /** For the fingerprint. */
  get condition(): unknown {
    return { kept: Array.from(this.#kept, ({ id }) => id), bytes: this.#keptBytes };
  }

  // Writing

  #writeEnd(pending: Pending, ending: Ending): void {
    if (this.#parts.writes.takesAll) this.#storeEnd(pending, ending);
    else this.#keep(pending.request, ending);
  }

  #storeEnd({ request, failures }: Pending, ending: Ending): void {
    const { writes } = this.#parts;
    const { id, submitted, attempts, stored, check } = request;
    const { finished } = ending;
    this.#unkeep(request);
    const write = { kind: 'end', request, ending } as const;
    if (ending.type === 'done') {
      const service = request.service!.name;
      const meta = encodeMeta({ service, submitted, finished, attempts, check });
      const puts = [{ key: keyOf('reply', id), value: [meta, ...ending.body] }];
      return writes.store(write, { puts, deletes: deletesOf(stored, id, RECORD_BITS.reply) });
    }
    const { code, message } = ending;
    const meta = encodeMeta({ finished, attempts, failures, code, message });
    const puts = [{ key: keyOf('dead', id), value: [meta] }];
    writes.store(write, { puts, deletes: deletesOf(stored & RECORD_BITS.attempts, id) });
  }

  #writeClose(now: Instant, request: StoredRequest, asks: AskToken[]): void {
    const { id, stored } = request;
    request.closers = undefined;
    const value = [encodeMeta({ closed: this.#parts.wall(now) })];
    const puts = [{ key: keyOf('closed', id), value }];
    const deletes = deletesOf(stored, id, RECORD_BITS.closed);
    this.#parts.writes.store({ kind: 'close', request, asks }, { puts, deletes, urgent: true });
  }

  // Keeping what the store refuses

  #canKeep(bytes: number): boolean {
    const { settings, writes } = this.#parts;
    return writes.takesAll || this.#keptBytes + bytes <= settings.pendingBytes;
  }

  #keep(request: StoredRequest, ending: Ending): void {
    if (this.#kept.has(request)) return;
    this.#kept.add(request);
    this.#keptBytes += bytesOf(ending);
  }

  #unkeep(request: StoredRequest): void {
    const ending = request.pending?.ending;
    if (ending !== undefined && this.#kept.delete(request)) this.#keptBytes -= bytesOf(ending);
  }

  #dead(now: Instant, code: Extract<Ending, { type: 'dead' }>['code'], message: string): Ending {
    const finished = this.#parts.wall(now);
    return { type: 'dead', finished, code, message: message.slice(0, MESSAGE_LIMIT) };
  }
}

/** The bits of what is stored once an end is. */
function storedAfter(stored: number, ending: Ending): number {
  const { attempts, dead, reply } = RECORD_BITS;
  return ending.type === 'done' ? reply : (stored | dead) & ~attempts;
}

function bytesOf(ending: Ending): number {
  return ending.type === 'done' ? byteLength(ending.body) : 0;
}
