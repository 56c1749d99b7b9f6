/** Taking requests in: for the first time, once more under the same id, and again by an operator. */
import { byteLength, encodeText } from '../core/frames.ts';
import type { Frames, Instant } from '../core/machine.ts';
import { CLOSING, storeRefusal, UNKNOWN, type Refusal } from './answers.ts';
import type { Question, RequestId } from './commands.ts';
import type { Lives } from './lives.ts';
import type { Parts } from './parts.ts';
import { checkOf, deletesOf, encodeMeta, keyOf, RECORD_BITS, type RequestMeta } from './records.ts';
import { isShown, type Pending, type StoredRequest } from './requests.ts';
import type { AskToken } from './titanic-events.ts';
import type { RequestWrite } from './writes.ts';

type Submit = Extract<Question, { type: 'submit' }>;

export class Intake {
  readonly #parts: Parts;
  readonly #lives: Lives;

  constructor(parts: Parts, lives: Lives) {
    this.#parts = parts;
    this.#lives = lives;
  }

  submit(now: Instant, token: AskToken, question: Submit): void {
    const { requests, settings } = this.#parts;
    const { service, body } = question;
    const bytes = byteLength(body);
    if (bytes > settings.bodyLimit) return this.#refuse(token, tooLarge(bytes, settings.bodyLimit));
    const id = question.id ?? settings.newId();
    // Who cannot submit it again need not be compared with.
    const check = question.id === undefined ? undefined : checkOf(service, body);
    const known = requests.get(id);
    if (known !== undefined) return this.#submitAgain(token, known, check);
    if (!requests.fits(bytes)) return this.#refuse(token, QUEUE_FULL);
    const request = requests.create(id);
    request.bytes = bytes;
    request.check = check;
    this.#write(now, token, request, question);
  }

  /** It is stored, or it never was. */
  accepted(now: Instant, write: RequestWrite, error: Error | undefined): void {
    const { request, asks } = write;
    const { attempts, answers, outbox, requests, services } = this.#parts;
    const pending = request.pending!;
    const service = request.service!;
    if (error !== undefined) {
      attempts.leave(pending);
      requests.settle(request);
      services.leave(request);
      for (const token of asks) this.#refuse(token, storeRefusal(error));
      if (request.closers === undefined) requests.forget(request);
      this.#lives.advance(now, request);
      return attempts.serve(now, service);
    }
    request.stored = RECORD_BITS.request;
    outbox.emit({ type: 'requestAccepted', id: request.id, service: service.name });
    for (const token of asks) answers.done(token, [encodeText(request.id)]);
    if (pending.hasRoom) pending.begun = 1;
    requests.show(request, pending.dueAt > now ? 'delayed' : 'waiting');
    this.#lives.proceed(now, pending);
  }

  resubmit(now: Instant, token: AskToken, id: RequestId): void {
    const { answers, requests, retention, writes } = this.#parts;
    const request = requests.get(id);
    if (request === undefined || !isShown(request.state)) return answers.refuse(token, UNKNOWN);
    const { dead } = request;
    if (dead === undefined) return answers.refuse(token, notDead(request.state));
    if (dead.policy === undefined) {
      return answers.refuse(token, { status: 500, code: dead.code, text: dead.message });
    }
    if (request.write !== undefined) return answers.refuse(token, notDead('being written'));
    const bytes = request.bytes - dead.message.length;
    if (!requests.fits(bytes)) return this.#refuse(token, QUEUE_FULL);
    retention.release(request);
    request.bytes = bytes;
    // The broker may have kept how the last attempt ended: it must not answer this one.
    const failures = dead.failures + 1;
    requests.begin(request, newPending(request, { ...dead.policy, failures, again: 1 }));
    request.pending!.dueAt = now;
    const value = [encodeMeta({ attempts: 0, failures, again: 1 })];
    const puts = [{ key: keyOf('attempts', id), value }];
    const deletes = deletesOf(request.stored & RECORD_BITS.dead, id);
    writes.store({ kind: 'resubmit', request, asks: [token] }, { puts, deletes });
  }

  resubmitted(now: Instant, write: RequestWrite, error: Error | undefined): void {
    const { request, asks } = write;
    const { answers, outbox, requests, retention } = this.#parts;
    const { pending, dead, id } = request;
    if (error === undefined) {
      request.stored = (request.stored & ~RECORD_BITS.dead) | RECORD_BITS.attempts;
    }
    if (pending === undefined || dead === undefined) {
      // It has become unreadable meanwhile, and is not tried again.
      for (const token of asks) answers.fetch(now, token, request, 0);
      return this.#lives.advance(now, request);
    }
    if (error !== undefined) {
      requests.settle(request);
      request.bytes += dead.message.length;
      retention.keep(request);
      for (const token of asks) this.#refuse(token, storeRefusal(error));
      return this.#lives.advance(now, request);
    }
    request.dead = undefined;
    request.attempts = 0;
    requests.show(request, 'waiting');
    outbox.emit({ type: 'requestResubmitted', id, service: request.service!.name });
    for (const token of asks) answers.done(token);
    this.#lives.proceed(now, pending);
  }

  /** Nothing is taken in any more. */
  refuseAsClosing(token: AskToken): void {
    this.#refuse(token, CLOSING);
  }

  /** The id is in use: by this very request, which then is as good as new, or by another. */
  #submitAgain(token: AskToken, known: StoredRequest, check: number | undefined): void {
    const { answers } = this.#parts;
    const { state, write, dead } = known;
    if (state === 'closed') return this.#refuse(token, idInUse('it was closed'));
    if (dead?.policy === undefined && dead !== undefined) {
      return this.#refuse(token, { status: 500, code: dead.code, text: dead.message });
    }
    if (check === undefined || known.check !== check) {
      return this.#refuse(token, idInUse('another request has it'));
    }
    if (state !== 'fresh') answers.done(token, [encodeText(known.id)]);
    else if (write?.kind === 'accept') write.asks.push(token);
    else this.#refuse(token, idInUse('it is being closed'));
  }

  #write(now: Instant, token: AskToken, request: StoredRequest, question: Submit): void {
    const { attempts, requests, services, settings, writes } = this.#parts;
    const { service, body, terms } = question;
    const { delay = 0, deadline = Infinity } = terms;
    const { retries = settings.retries, backoff = settings.backoff } = terms;
    const pending = newPending(request, { retries, backoff, failures: 0, again: 0 });
    pending.dueAt = now + delay;
    pending.deadlineAt = now + deadline;
    services.join(request, service);
    requests.begin(request, pending);
    request.submitted = this.#parts.wall(now);
    // With room at hand the first attempt is stored with the request: one fsync less.
    const begins = delay === 0 && attempts.mayBegin(request.service!);
    if (begins) attempts.reserve(pending);
    const meta: RequestMeta = {
      service,
      submitted: request.submitted,
      delay: delay === 0 ? undefined : delay,
      deadline: deadline === Infinity ? undefined : deadline,
      retries,
      backoff,
      begun: begins ? 1 : 0,
      check: request.check,
    };
    const value: Frames = [encodeMeta(meta), ...body];
    const puts = [{ key: keyOf('request', request.id), value }];
    writes.store({ kind: 'accept', request, asks: [token] }, { puts, deletes: [] });
  }

  #refuse(token: AskToken, refusal: Refusal): void {
    const { answers, outbox } = this.#parts;
    outbox.emit({ type: 'requestRefused', code: refusal.code, reason: refusal.text });
    answers.refuse(token, refusal);
  }
}

/** Of a request that is to be done, at once and for ever. */
export function newPending(
  request: StoredRequest,
  given: Pick<Pending, 'retries' | 'backoff' | 'failures' | 'again'>,
): Pending {
  const { retries, backoff, failures, again } = given;
  return {
    request,
    retries,
    backoff,
    dueAt: -Infinity,
    deadlineAt: Infinity,
    begun: 0,
    failures,
    again,
    hasRoom: false,
    execution: 0,
    ending: undefined,
  };
}

const QUEUE_FULL: Refusal = {
  status: 500,
  code: 'ERR_QUEUE_FULL',
  text: 'as many requests are pending as may be: try later',
};

function tooLarge(bytes: number, limit: number): Refusal {
  const text = `the body has ${bytes} bytes, more than ${limit}`;
  return { status: 400, code: 'ERR_INVALID_ARGUMENT', text };
}

function idInUse(why: string): Refusal {
  return { status: 400, code: 'ERR_ID_IN_USE', text: `this id is in use: ${why}` };
}

function notDead(state: string): Refusal {
  const text = `only a dead letter can be submitted again; this one is ${state}`;
  return { status: 400, code: 'ERR_INVALID_ARGUMENT', text };
}
