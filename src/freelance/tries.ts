/**
 * The tries of requests: which servers get a copy, whether a further one is within the budget, and how long
 * answers take.
 */
import type { Instant, Outbox } from '../core/machine.ts';
import { RetryBudget, type RetryBudgetSettings } from '../core/retry-budget.ts';
import {
  TRY_NUMBERS,
  type ClientEvent,
  type ClientRequest,
  type RetryReason,
  type Try,
} from './client-request.ts';
import type { ClientOutput } from './commands.ts';
import { controlFrame } from '../core/control-frame.ts';
import { ResponseTimes } from './response-times.ts';
import { takesRequests, type Server, type ServerPort, type Servers } from './servers.ts';

type Accepts = (server: Server<Try>) => boolean;

export class Tries {
  readonly #outbox: Outbox<ServerPort, ClientOutput, ClientEvent>;
  readonly #servers: Servers<Try>;
  readonly #times = new ResponseTimes();
  readonly #budget: RetryBudget;

  constructor(
    outbox: Outbox<ServerPort, ClientOutput, ClientEvent>,
    servers: Servers<Try>,
    settings: RetryBudgetSettings,
  ) {
    this.#outbox = outbox;
    this.#servers = servers;
    this.#budget = new RetryBudget(settings);
  }

  /** Plain data, for the fingerprint. */
  get state(): unknown {
    return [this.#times, this.#budget.tokens];
  }

  /** Milliseconds that few answers exceed; undefined until there were some. */
  get usualTime(): number | undefined {
    return this.#times.p95;
  }

  /** A request was accepted. */
  earn(): void {
    this.#budget.earn();
  }

  /** Sends one that has no try under way. False: no server has room for it, and nothing happened. */
  begin(now: Instant, request: ClientRequest): boolean {
    if (request.call.strategy !== 'all') return this.#sendToBest(now, request) !== undefined;
    for (const server of this.#servers.live) {
      if (takesRequests(server)) this.#send(now, request, server);
    }
    return request.tries.length > 0;
  }

  /**
   * One more copy, beside what is under way, to a server that has none. After a try took too long any
   * server will do, as its message may have been lost on the way. Undefined: there is none with room, or
   * the budget is empty.
   * @param isFree whether it is left out of the budget
   */
  add(
    now: Instant,
    request: ClientRequest,
    reason: RetryReason | 'hedge',
    isFree: boolean,
  ): Server<Try> | undefined {
    const { tries, refusedBy, call } = request;
    const isNew: Accepts = (server) =>
      refusedBy?.has(server) !== true && tries.every((one) => one.server !== server);
    const hasNew = this.#servers.best(call.strategy, isNew) !== undefined;
    if (!hasNew && (reason !== 'timeout' || !this.#servers.hasRoom)) return undefined;
    if (!isFree && this.#budget.tokens < 1) {
      if (!request.isDenied) this.#outbox.emit({ type: 'budgetEmpty', id: call.id });
      request.isDenied = true;
      return undefined;
    }
    const server = this.#sendToBest(now, request, hasNew ? isNew : undefined);
    if (server === undefined) return undefined;
    if (!isFree) this.#budget.spend();
    request.repeats++;
    return server;
  }

  /** It is over: what is still answered finds nobody. */
  forget(attempt: Try): void {
    const { request, server, key } = attempt;
    server.tries.delete(key);
    request.tries.splice(request.tries.indexOf(attempt), 1);
  }

  forgetAll({ tries }: ClientRequest): void {
    for (const { server, key } of tries) server.tries.delete(key);
    tries.length = 0;
  }

  /** It was answered, before all others of its request. */
  measure(now: Instant, answered: Try): void {
    const took = now - answered.sentAt;
    this.#times.add(took);
    this.#servers.measured(answered.server, took);
    if (answered.request.tries.length > 1) this.blame(now, answered.request, answered);
  }

  /** Whoever has not answered is slow, or it would always look as fast as when it last did. */
  blame(now: Instant, { tries }: ClientRequest, except?: Try): void {
    for (const attempt of tries) {
      if (attempt !== except) this.#servers.exceeded(attempt.server, now - attempt.sentAt);
    }
  }

  /** One whose queue turns out to be full is passed over until it has drained. */
  #sendToBest(now: Instant, request: ClientRequest, accepts?: Accepts): Server<Try> | undefined {
    for (;;) {
      const server = this.#servers.best(request.call.strategy, accepts);
      if (server === undefined || this.#send(now, request, server)) return server;
    }
  }

  #send(now: Instant, request: ClientRequest, server: Server<Try>): boolean {
    const { id, body } = request.call;
    const number = request.triesBegun % TRY_NUMBERS;
    const control = controlFrame(id, number);
    server.isWritable = this.#outbox.send(server.port, '', { type: 'request', control, body });
    if (!server.isWritable) return false;
    request.triesBegun++;
    const attempt: Try = { request, server, number, key: ++server.lastTry, sentAt: now };
    request.tries.push(attempt);
    server.tries.set(attempt.key, attempt);
    return true;
  }
}

/** The try of this number, if it is under way at this server: nobody answers for another. */
export function tryOf(
  { tries }: ClientRequest,
  number: number,
  server: Server<Try>,
): Try | undefined {
  for (const attempt of tries) {
    if (attempt.number === number && attempt.server === server) return attempt;
  }
  return undefined;
}
