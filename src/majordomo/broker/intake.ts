/**
 * How requests come in: what is refused and why, what joins another, what starts at once.
 */
import type { RequestErrorCode } from '../../core/errors.ts';
import type { Instant } from '../../core/machine.ts';
import type { Broadcast } from './broadcast.ts';
import type { RefusalReason } from './broker-events.ts';
import { keepBody, type RequestCommand } from '../wire/commands.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { KeyBook, StoredReply } from './idempotency.ts';
import type { Pair } from './pair.ts';
import type { NewRequest, RequestBook, Waiter } from './requests.ts';
import type { SessionTable } from './sessions.ts';
import { parkedLineOf } from './takeover.ts';
import { NO_FRAMES, NOT_ACTIVE, type Voice } from './voice.ts';

/** What a refused client is told. */
const REFUSALS: Readonly<Record<RefusalReason, readonly [RequestErrorCode, string]>> = {
  closing: ['ERR_BROKER_CLOSING', 'the broker is closing: try again at another, or later'],
  queueFull: ['ERR_QUEUE_FULL', "the broker's queue is full: try again later"],
  expired: ['ERR_REQUEST_EXPIRED', 'the time of the request was over before it came to the broker'],
  notActive: NOT_ACTIVE,
  noService: ['ERR_NO_SERVICE', 'no worker offers this service now: start one, or try again later'],
};

/** So many wait for one request at most, each under a number of its own. */
const JOIN_LIMIT = 10_000;

export class Intake {
  readonly #requests: RequestBook;
  readonly #sessions: SessionTable;
  readonly #keys: KeyBook;
  readonly #dispatcher: Dispatcher;
  readonly #voice: Voice;
  readonly #pair: Pair | undefined;

  constructor(
    requests: RequestBook,
    sessions: SessionTable,
    keys: KeyBook,
    dispatcher: Dispatcher,
    voice: Voice,
    pair?: Pair,
  ) {
    this.#pair = pair;
    this.#requests = requests;
    this.#sessions = sessions;
    this.#keys = keys;
    this.#dispatcher = dispatcher;
    this.#voice = voice;
  }

  take(now: Instant, waiter: Waiter, command: RequestCommand): void {
    const { service, key } = command;
    if (command.timeLeft === 0) return this.refuse(waiter, service, 'expired');
    if (command.broadcast === true) return this.#broadcast(now, waiter, command);
    if (key !== undefined && this.#isKnown(now, waiter, command, key)) return;
    if (command.failFast === true && !this.#sessions.accepts(service)) {
      return this.refuse(waiter, service, 'noService');
    }
    if (key !== undefined && this.#pair !== undefined && this.#waits(now, waiter, command, key))
      return;
    const idle = this.#requests.hasQueued(service) ? undefined : this.#sessions.nextIdle(service);
    // It does not stay in a queue for which there is a worker at once.
    const passes = idle !== undefined || this.#sessions.nextIdle(service) !== undefined;
    if (!passes && !this.#requests.hasRoom(command)) {
      return this.refuse(waiter, service, 'queueFull');
    }
    const request = this.#requests.accept(now, askedBy(waiter, command), idle !== undefined);
    this.#keys.began(request);
    if (idle === undefined) this.#dispatcher.dispatchAll(now, service);
    else this.#dispatcher.start(now, idle, request);
    // Its queue was full: another worker may be idle.
    if (idle !== undefined && request.state === 'queued') {
      this.#dispatcher.dispatchAll(now, service);
    }
  }

  refuse(waiter: Waiter, service: string, reason: RefusalReason): void {
    const { address } = waiter.client;
    this.#voice.emit({ type: 'requestRefused', service, client: address, reason });
    const [code, message] = REFUSALS[reason];
    const retryAfter = reason === 'queueFull' ? this.#requests.retryAfter : undefined;
    this.#voice.reply(waiter, service, {
      body: NO_FRAMES,
      failure: { code, message, retryAfter, attempts: 0 },
    });
  }

  /** One under the same key is there: this one waits for it too. Or its reply is: here it is. */
  #isKnown(now: Instant, waiter: Waiter, command: RequestCommand, key: string): boolean {
    const { service, timeLeft } = command;
    const first = this.#keys.openUnder(service, key);
    const stored = first === undefined ? this.#keys.replyUnder(service, key) : undefined;
    if (first === undefined && stored === undefined) return false;
    if (first !== undefined && first.waiters.length >= JOIN_LIMIT) {
      this.refuse(waiter, service, 'queueFull');
      return true;
    }
    const { address } = waiter.client;
    this.#voice.emit({
      type: 'requestJoined',
      service,
      client: address,
      stored: stored !== undefined,
    });
    if (first !== undefined) this.#requests.join(now, first, waiter, timeLeft);
    if (stored?.mayBeTold === true) this.#voice.reply(waiter, service, stored);
    else if (stored !== undefined) this.#withhold(now, waiter, command, stored);
    return true;
  }

  /** In a pair: the other broker is not known to have this reply yet. */
  #withhold(now: Instant, waiter: Waiter, command: RequestCommand, stored: StoredReply): void {
    const request = this.#requests.accept(now, askedBy(waiter, command), true);
    request.attempts = 0;
    this.#keys.began(request);
    this.#pair?.followers.join(request, stored);
  }

  /** In a pair: somebody may have its key in hand, or there is no room for its reply. */
  #waits(now: Instant, waiter: Waiter, command: RequestCommand, key: string): boolean {
    const { service } = command;
    const isParked = this.#pair!.takeover.parks(service, key);
    const isFull = this.#pair!.followers.isFull || (isParked && !this.#requests.hasRoom(command));
    if (isFull) this.refuse(waiter, service, 'queueFull');
    else if (isParked) {
      const asked = { ...askedBy(waiter, command), line: parkedLineOf(service) };
      this.#keys.began(this.#requests.accept(now, asked));
      this.#voice.emit({ type: 'requestParked', service, client: waiter.client.address });
    }
    return isFull || isParked;
  }

  #broadcast(now: Instant, waiter: Waiter, command: RequestCommand): void {
    const { service, priority, timeLeft } = command;
    const sessions = [...this.#sessions.ofService(service)].filter(({ credit }) => credit > 0);
    if (sessions.length === 0) return this.refuse(waiter, service, 'noService');
    if (!this.#requests.hasRoom(command, sessions.length - 1)) {
      return this.refuse(waiter, service, 'queueFull');
    }
    const broadcast: Broadcast = { waiter, copies: new Set(), parts: 0, isShort: false };
    waiter.client.awaited.set(waiter.number, broadcast);
    const body = keepBody(command);
    const headers = keepHeaders(command);
    for (const { line } of sessions) {
      const copy = { waiter, service, body, headers, priority, timeLeft, broadcast, line };
      broadcast.copies.add(this.#requests.accept(now, copy));
    }
    for (const session of sessions) this.#dispatcher.serve(now, session);
  }
}

/** A request with all that it keeps. */
function askedBy(waiter: Waiter, command: RequestCommand): NewRequest {
  const { service, key } = command;
  return {
    waiter,
    service,
    body: keepBody(command),
    headers: keepHeaders(command),
    key,
    priority: command.priority,
    timeLeft: command.timeLeft,
    // Under a key the whole reply is kept, and nobody gives credit for parts of it.
    window: key === undefined ? command.window : undefined,
  };
}

function keepHeaders({ headers }: RequestCommand): Uint8Array | undefined {
  return headers === undefined ? undefined : new Uint8Array(headers);
}
