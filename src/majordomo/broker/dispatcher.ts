/**
 * Where requests meet sessions: who gets what to do, and what becomes of it.
 *
 * One rule carries the reliability: a dispatched request stays the broker's until the reply for
 * exactly that dispatch arrives; whatever else ends the dispatch puts the request back at the head of
 * its queue, or ends it by name. How it ends, and who is told, is `request-ends.ts`.
 */
import { fromAddress, keepFrames, sizeOf, toAddress } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import { lostOnTheWay } from '../../core/reconciliation.ts';
import type { Random } from '../../core/retry.ts';
import type { WorkerLossReason } from './broker-events.ts';
import type {
  DispatchNumber,
  DispatchTag,
  HeartbeatCommand,
  ResultCommand,
} from '../wire/commands.ts';
import { decodeFailure } from '../../core/error-body.ts';
import type { Pair } from './pair.ts';
import { isStreamed, type RequestEnds } from './request-ends.ts';
import { clientOf, type PendingRequest, type RequestBook } from './requests.ts';
import { mayWork, type Dispatch, type Session, type SessionTable } from './sessions.ts';
import { NO_FRAMES, type Voice } from './voice.ts';

/** Dispatch numbers begin somewhere below. */
const NUMBER_RANGE = 2 ** 30;

/** Cancels in answer to one heartbeat: the next one names again what is left. */
const CANCEL_LIMIT = 1000;

export interface DispatcherSettings {
  readonly maxAttempts: number;
  readonly attemptTimeout: number;
  readonly replyBufferBytes: number;
  readonly random: Random;
}

export class Dispatcher {
  readonly #requests: RequestBook;
  readonly #sessions: SessionTable;
  readonly #ends: RequestEnds;
  readonly #settings: DispatcherSettings;
  readonly #voice: Voice;
  /** Tells the dispatch tags of this broker's life from those of an earlier one. */
  readonly #incarnation: string;
  /** Where the numbers of this life begin, so that an answer to an earlier one fits none of them. */
  readonly #firstNumber: DispatchNumber;
  readonly #pair: Pair | undefined;
  #dispatches = 0;
  #isClosing = false;
  /** What has a lower number was given away in an earlier time of service. */
  #disowned = 0;

  constructor(
    requests: RequestBook,
    sessions: SessionTable,
    ends: RequestEnds,
    settings: DispatcherSettings,
    voice: Voice,
    pair?: Pair,
  ) {
    this.#pair = pair;
    this.#requests = requests;
    this.#sessions = sessions;
    this.#ends = ends;
    this.#settings = settings;
    this.#voice = voice;
    this.#firstNumber = Math.floor(settings.random() * NUMBER_RANGE);
    this.#incarnation = Array.from({ length: 6 }, () =>
      String.fromCharCode(1 + Math.floor(settings.random() * 255)),
    ).join('');
  }

  /** How many dispatches there were: part of the broker's state. */
  get dispatches(): number {
    return this.#dispatches;
  }

  /** From now on nothing is given to workers, and what they lose fails. */
  close(): void {
    this.#isClosing = true;
  }

  /** What was given away so far is no business of this broker any more: whoever still has it goes on. */
  disown(): void {
    this.#disowned = this.#firstNumber + this.#dispatches;
  }

  /** Gives queued requests of a service to its idle workers, as far as both go. */
  dispatchAll(now: Instant, service: string): void {
    if (this.#isClosing) return;
    while (this.#requests.hasQueued(service)) {
      const session = this.#sessions.nextIdle(service);
      if (session === undefined) return;
      this.start(now, session, this.#requests.takeNext(service)!);
    }
  }

  /** Gives a session work, if it may have some: first what waits for it alone. */
  serve(now: Instant, session: Session): void {
    this.#sessions.place(session);
    if (this.#isClosing) return;
    while (mayWork(session) && this.#requests.hasQueued(session.line)) {
      this.start(now, session, this.#requests.takeNext(session.line)!);
    }
    this.dispatchAll(now, session.service);
  }

  /** Gives a request, which is in flight from now on, to a worker that may work. */
  start(now: Instant, session: Session, request: PendingRequest): void {
    const number = this.#firstNumber + this.#dispatches++;
    const { address, dialect, express, running } = session;
    const { expiresAt, key } = request;
    const isSent = this.#voice.send(address, {
      type: 'dispatch',
      dialect,
      envelope: express === undefined ? [fromAddress(this.#tagOf(number))] : NO_FRAMES,
      body: request.body,
      number,
      attempt: request.attempts,
      // Others may join it under its key, and wait for longer: then only the broker knows the time.
      timeLeft:
        expiresAt === Infinity || key !== undefined ? undefined : Math.ceil(expiresAt - now),
      key,
      headers: request.headers,
      window: request.window,
    });
    if (!isSent) {
      session.writable = false;
      this.#requests.requeue(request, true);
      return this.#sessions.place(session);
    }
    const dispatch: Dispatch = {
      session,
      number,
      request,
      sentAfter: express === undefined ? 0 : express.beats.sent,
      startedAt: now,
      timeoutAt: express === undefined ? now + this.#settings.attemptTimeout : Infinity,
      parts: 0,
    };
    running.set(number, dispatch);
    request.dispatch = dispatch;
    this.#sessions.place(session);
    if (express === undefined) this.#sessions.reschedule(session);
  }

  #tagOf(number: DispatchNumber): DispatchTag {
    return this.#incarnation + number.toString(36);
  }

  // Results

  /** A result came in `session`: it counts only for what the session was given and has not answered. */
  settle(now: Instant, session: Session, command: ResultCommand): void {
    const dispatch = this.#dispatchFor(session, command);
    if (dispatch === undefined) {
      this.#voice.emit({ type: 'replyRefused', worker: session.address, reason: 'stale' });
      return;
    }
    const { request } = dispatch;
    const isWhole = session.express === undefined || command.sequence === dispatch.parts;
    if (!command.final) this.#settlePart(now, session, dispatch, command, isWhole);
    else {
      session.running.delete(dispatch.number);
      if (!isAtWork(request)) this.#refuse(session, 'requestEnded');
      else if (isWhole) this.#conclude(now, request, command);
      else {
        this.#refuse(session, 'incomplete');
        this.recover(now, request, false);
      }
      this.serve(now, session);
      if (session.express === undefined) this.#sessions.reschedule(session);
    }
  }

  #dispatchFor(session: Session, command: ResultCommand): Dispatch | undefined {
    const { running } = session;
    if (session.express !== undefined) return running.get(command.number ?? -1);
    const [dispatch] = running.values();
    if (dispatch === undefined || command.envelope.length !== 1) return undefined;
    const isIt = toAddress(command.envelope[0]!) === this.#tagOf(dispatch.number);
    return isIt ? dispatch : undefined;
  }

  #settlePart(
    now: Instant,
    session: Session,
    dispatch: Dispatch,
    { body }: ResultCommand,
    isWhole: boolean,
  ): void {
    const { request } = dispatch;
    if (session.express === undefined) {
      dispatch.timeoutAt = now + this.#settings.attemptTimeout;
      this.#sessions.reschedule(session);
    }
    if (isWithoutReader(request)) return this.#stopStream(now, session, dispatch);
    if (!isWhole) {
      this.#refuse(session, 'incomplete');
      const message = 'a part of the reply was lost on its way to the broker';
      return this.#ends.fail(now, request, 'failed', 'ERR_WORKER_LOST', message);
    }
    dispatch.parts++;
    if (isStreamed(request)) this.#ends.passPart(now, request, body);
    else this.#keepPart(now, request, body);
  }

  /** It may go on for ever. Disconnected, a stock worker stops what it does and comes back. */
  #stopStream(now: Instant, session: Session, { request, number }: Dispatch): void {
    if (session.express === undefined) return this.endSession(now, session, 'requestEnded');
    if (isAtWork(request)) return this.#ends.cancel(now, request);
    this.#voice.send(session.address, { type: 'cancel', dialect: 'express', number });
  }

  /** The client takes a whole reply. */
  #keepPart(now: Instant, request: PendingRequest, body: Frames): void {
    request.partialBytes += sizeOf(body);
    const limit = this.#settings.replyBufferBytes;
    if (request.partialBytes <= limit) (request.partials ??= []).push(...keepFrames(body));
    else {
      const message = `the partial replies exceed ${limit} bytes: use stream(), which gets them one by one`;
      this.#ends.fail(now, request, 'failed', 'ERR_REPLY_TOO_LARGE', message);
    }
  }

  #conclude(now: Instant, request: PendingRequest, command: ResultCommand): void {
    const { body } = command;
    const failure = command.failure ?? decodeFailure(body);
    // A failure stands for the whole: joined to the parts it would look like an ordinary reply.
    const stands = request.partials === undefined || failure !== undefined;
    this.#ends.reply(now, request, {
      body: stands ? body : [...request.partials!, ...body],
      failure,
    });
  }

  // Losses

  /** What a heartbeat of an express worker says: what never arrived there, and what it works on in vain. */
  reconcile(
    now: Instant,
    session: Session,
    { beat = 0, echo = 0, held = [] }: HeartbeatCommand,
  ): void {
    const { express, running, address, service } = session;
    if (express === undefined) return;
    express.named = held;
    session.hasHandedBack = false;
    const lost = lostOnTheWay(express.beats, { beat, echo, held }, running.values());
    for (const { number, request } of Array.from(lost)) {
      running.delete(number);
      this.#voice.emit({ type: 'dispatchLost', worker: address, service });
      if (isAtWork(request)) this.recover(now, request, false);
    }
    let cancels = 0;
    for (const number of held) {
      if (number < this.#disowned || isAtWork(running.get(number)?.request)) continue;
      if (cancels++ < CANCEL_LIMIT) {
        this.#voice.send(address, { type: 'cancel', dialect: 'express', number });
      }
    }
    this.serve(now, session);
  }

  /** The worker has not started this and gives it back: that costs no attempt. */
  handBack(now: Instant, session: Session, number: DispatchNumber): void {
    const { running, address, service } = session;
    const request = running.get(number)?.request;
    if (!running.delete(number)) return;
    session.hasHandedBack = true;
    this.#sessions.place(session);
    this.#voice.emit({ type: 'requestHandedBack', worker: address, service });
    if (isAtWork(request)) this.recover(now, request, true);
    this.serve(now, session);
  }

  /** Ends a session, tells the worker unless it knows, and settles what it held. */
  endSession(now: Instant, session: Session, reason: WorkerLossReason): void {
    const { address, service, dialect, line, express } = session;
    const dispatches = [...session.running.values()];
    const held = dispatches.some(({ request }) => isAtWork(request));
    this.#sessions.remove(session);
    session.running.clear();
    this.#pair?.followers.left(now, session);
    this.#pair?.takeover.left(session, reason === 'disconnected');
    this.#voice.emit({ type: 'workerLost', worker: address, service, reason, held });
    // What replaced it is at the same address and must not hear of the end.
    if (reason !== 'disconnected' && reason !== 'gone' && reason !== 'replaced') {
      this.#voice.send(address, { type: 'disconnect', dialect });
    }
    for (const { request, number, startedAt } of dispatches) {
      // In the very turn of the dispatch nothing has left yet: the worker cannot have started. One of
      // express says last what it has started, and then goodbye.
      const isOnTheWay =
        express === undefined ? startedAt === now : !express.named.includes(number);
      const unstarted = reason === 'disconnected' && isOnTheWay;
      if (isAtWork(request)) this.recover(now, request, unstarted);
    }
    for (;;) {
      const request = this.#requests.takeNext(line);
      if (request === undefined) break;
      this.recover(now, request, true);
    }
  }

  /** The worker of `request` is lost, or has not started it. */
  recover(now: Instant, request: PendingRequest, unstarted: boolean): void {
    const { service, attempts } = request;
    // Whoever had it has no more to do with it, and is not told how it ends.
    request.dispatch = undefined;
    if (request.partialsSent > 0 || request.broadcast !== undefined) {
      const message =
        request.broadcast === undefined
          ? 'the worker was lost after a part of the reply had been sent'
          : 'the worker was lost before it answered';
      return this.#ends.fail(now, request, 'failed', 'ERR_WORKER_LOST', message);
    }
    if (this.#isClosing) {
      const begun = attempts > (unstarted ? 1 : 0);
      return this.#ends.failAsClosing(now, request, begun);
    }
    if (request.orphaned) return this.#ends.cancel(now, request);
    if (attempts >= this.#settings.maxAttempts && !unstarted) {
      const letter = this.#ends.bury(now, request);
      return letter === undefined ? undefined : this.dispatchAll(now, letter);
    }
    this.#requests.requeue(request, unstarted);
    this.#voice.emit({ type: 'requestRequeued', service, client: clientOf(request), attempts });
    this.dispatchAll(now, service);
  }

  #refuse(session: Session, reason: 'requestEnded' | 'incomplete'): void {
    this.#voice.emit({ type: 'replyRefused', worker: session.address, reason });
  }
}

/** True if it has neither ended nor been answered. */
function isAtWork(request: PendingRequest | undefined): request is PendingRequest {
  return request?.state === 'inFlight' && request.answer === undefined;
}

/** True if nobody reads the parts of this reply: it has ended, or its client left in mid-stream. */
function isWithoutReader(request: PendingRequest): boolean {
  return !isAtWork(request) || (request.orphaned && isStreamed(request));
}
