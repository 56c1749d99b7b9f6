/** The Titanic client: hands requests over for later, and comes back for their replies. */
import type { Body } from '../core/body.ts';
import { RequestError, TitanicError, type ErrorCode } from '../core/errors.ts';
import { checkOptions, completeOptions, type Completed } from '../core/options.ts';
import { Payload } from '../core/payload.ts';
import { MajordomoClient } from '../majordomo/index.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import { SignalWatch } from '../transport/signal-watch.ts';
import { answerIn, checkId, submitOf, summaryIn } from './asked.ts';
import { Asking } from './asking.ts';
import type { Answer, Question, RequestId, RequestSummary } from './commands.ts';
import {
  askRules,
  callRules,
  fetchRules,
  submitRules,
  titanicClientRules,
  type AskOptions,
  type CallOptions,
  type FetchOptions,
  type SubmitOptions,
  type TitanicClientOptions,
} from './options.ts';
import { encodeQuestion } from './protocol.ts';
import { TitanicAdmin } from './titanic-admin.ts';

/** Nobody answered, or not in time: it is asked again after `delay` milliseconds. */
export interface TitanicClientEvent {
  readonly type: 'retry';
  /** Of the Titanic's: what is asked. */
  readonly service: string;
  readonly code: ErrorCode;
  readonly reason: string;
  readonly delay: number;
}

/**
 * Submits requests to a Titanic, which sees to it that they are done, whoever crashes in between.
 *
 * ```js
 * const client = new TitanicClient();
 * client.connect('tcp://127.0.0.1:5555');
 * const id = await client.submit('resize', 'photo.jpg');
 * const reply = await client.fetch(id, { wait: 60_000 });
 * await client.forget(id);
 * ```
 *
 * What was submitted is on the Titanic's disk when `submit` resolves. Its service may see it more than
 * once: at least once, not exactly once.
 */
export class TitanicClient extends EventSource<TitanicClientEvent> {
  /** For whoever operates the Titanic. */
  readonly admin: TitanicAdmin;
  readonly #environment: Environment;
  readonly #options: Completed<typeof titanicClientRules>;
  readonly #brief: MajordomoClient;
  /** Long polls have a client of their own, so that nothing waits behind them. */
  readonly #polls: MajordomoClient;
  readonly #rests: Rests;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: TitanicClientOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('TitanicClient', titanicClientRules, options);
    super(completed.logger, { retry: 'info' });
    // What comes of their requests the log is told here.
    const shared = { ...completed, logger: undefined };
    this.#environment = environment;
    this.#options = completed;
    this.#brief = new MajordomoClient(shared, environment);
    this.#polls = new MajordomoClient(shared, environment);
    this.#rests = new Rests(environment);
    this.admin = new TitanicAdmin((question, terms) => this.#ask(question, terms));
  }

  /**
   * Starts using a broker, or several: the next one is used when one lets a request down.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    this.#brief.connect(endpoints);
    this.#polls.connect(endpoints);
  }

  /**
   * Resolves when a broker has answered; whether a Titanic is behind it, requests will tell.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when none did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  ready(options?: { readonly timeout?: number }): Promise<void> {
    return this.#brief.ready(options);
  }

  /**
   * Hands a request over, and resolves to its id once it is durable: from now on it is done, or becomes a
   * dead letter, but is not lost.
   * @param body text, bytes, or an array of them (one frame each). Bytes are not copied.
   * @throws TitanicError `ERR_ID_IN_USE`, `ERR_QUEUE_FULL`, `ERR_STORAGE_FULL` and others: it was refused;
   *   after `ERR_STORAGE_FAILED` it may be stored nevertheless
   * @throws RequestError if no Titanic answered within `timeout`: it may have been taken, and submitting it
   *   again under the same `id` does no harm
   * @throws InvalidArgumentError if the call is wrong
   * @throws ClosedError
   */
  async submit(service: string, body: Body, options?: SubmitOptions): Promise<RequestId> {
    checkOptions('submit', submitRules, options);
    const question = submitOf(service, body, options, newId);
    await this.#ask(question, options);
    return question.id;
  }

  /**
   * The reply of a request; undefined if it is still pending after `wait`. The reply stays until it is
   * forgotten, and is the same each time.
   * @throws TitanicError of a dead letter its code, such as `ERR_ATTEMPTS_EXHAUSTED`; and
   *   `ERR_UNKNOWN_REQUEST` if it was never submitted, or is forgotten
   * @throws RequestError if no Titanic answered
   * @throws InvalidArgumentError if the call is wrong
   * @throws ClosedError
   */
  async fetch(id: RequestId, options?: FetchOptions): Promise<Payload | undefined> {
    const { wait, ...terms } = completeOptions('fetch', fetchRules, options);
    return this.#fetch(checkId(id), wait, terms);
  }

  /**
   * Where a request stands; undefined if it was never submitted, or is forgotten.
   * @throws TitanicError, RequestError, InvalidArgumentError, ClosedError
   */
  async status(id: RequestId, options?: AskOptions): Promise<RequestSummary | undefined> {
    checkOptions('status', askRules, options);
    const question = { type: 'status', id: checkId(id) } as const;
    try {
      return summaryIn(question, await this.#ask(question, options));
    } catch (error) {
      if (error instanceof TitanicError && error.code === 'ERR_UNKNOWN_REQUEST') return undefined;
      throw error;
    }
  }

  /**
   * Drops a request and all that is kept of it, also one that is pending: its service is not asked any
   * more. Resolves once that is durable, and also if there is no such request.
   * @throws TitanicError, RequestError, InvalidArgumentError, ClosedError
   */
  async forget(id: RequestId, options?: AskOptions): Promise<void> {
    checkOptions('forget', askRules, options);
    await this.#ask({ type: 'close', id: checkId(id) }, options);
  }

  /**
   * Submits a request, waits for its reply, and forgets it, whoever restarts meanwhile, as long as this
   * program does not. `timeout` is for each of the three.
   *
   * Aborted, it forgets the request too if it made the id itself, as nobody else could ask for it. With an
   * `id` of yours the request stays; so does a dead letter.
   * @throws TitanicError, RequestError, InvalidArgumentError, ClosedError as the three do
   * @throws RequestError `ERR_REQUEST_TIMEOUT` if it is still pending after `wait`; it stays
   */
  async call(service: string, body: Body, options?: CallOptions): Promise<Payload> {
    const { wait, ...terms } = completeOptions('call', callRules, options);
    const question = submitOf(service, body, terms, newId);
    const { id } = question;
    let reply: Payload | undefined;
    try {
      await this.#ask(question, terms);
      reply = await this.#fetch(id, wait, terms);
    } catch (error) {
      const isAborted = error instanceof RequestError && error.code === 'ERR_CANCELLED';
      if (isAborted && terms.id === undefined) void this.#forgetIfPossible(id, undefined);
      throw error;
    }
    if (reply === undefined) {
      const message = `request ${id} is still pending after ${wait} ms: fetch it later`;
      throw new RequestError('ERR_REQUEST_TIMEOUT', service, message);
    }
    await this.#forgetIfPossible(id, terms);
    return reply;
  }

  /** Waits up to `drainTimeout` for what is outstanding, cancels the rest, and frees all resources. */
  async close(): Promise<void> {
    const closed = Promise.all([this.#brief.close(), this.#polls.close()]);
    // What rests before another try finds everything closed, and ends.
    this.#rests.close();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #fetch(id: RequestId, wait: number, terms: AskOptions): Promise<Payload | undefined> {
    const { status, body = [] } = await this.#ask({ type: 'fetch', id, wait }, terms);
    return status === 300 ? undefined : new Payload(body);
  }

  /** If not, retention drops it one day: no reason to keep a reply from whoever called. */
  async #forgetIfPossible(id: RequestId, terms: AskOptions | undefined): Promise<boolean> {
    try {
      await this.#ask({ type: 'close', id }, terms);
      return true;
    } catch {
      return false;
    }
  }

  /** The answer, 200 or 300. Asks as long and as often as `Asking` says. */
  async #ask(question: Question, terms: AskOptions | undefined): Promise<Answer> {
    const { clock, random } = this.#environment;
    const { signal, timeout = this.#options.timeout } = terms ?? {};
    const wait = question.type === 'fetch' ? question.wait : 0;
    const isRepeatable = question.type !== 'resubmit';
    const life = { timeout, wait, isRepeatable };
    const asking = new Asking(clock.now(), life, { ...this.#options, random });
    for (;;) {
      let rest: number | undefined;
      try {
        const answer = await this.#try(question, asking.begin(clock.now()), signal);
        if (answer.status !== 300 || question.type !== 'fetch') return answer;
        rest = asking.restWhilePending(clock.now());
        if (rest === undefined) return answer;
      } catch (error) {
        rest = asking.restAfterError(clock.now(), error);
        if (rest === undefined) throw inAll(error, wait + timeout);
        this.#tellRetry(error, rest);
      }
      if (rest > 0) await this.#rests.rest(rest, signal);
    }
  }

  async #try(
    question: Question,
    { wait, timeout }: { readonly wait: number; readonly timeout: number },
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const asked = question.type === 'fetch' ? { ...question, wait } : question;
    const { service, body } = encodeQuestion(asked);
    const client = wait > 0 ? this.#polls : this.#brief;
    const reply = await client.request(service, body, {
      timeout,
      attemptTimeout: timeout,
      retries: 0,
      signal,
    });
    return answerIn(question, reply.body);
  }

  #tellRetry(error: unknown, delay: number): void {
    if (!(error instanceof RequestError)) return;
    const { service, code, message: reason } = error;
    this.announce({ type: 'retry', service, code, reason, delay });
  }
}

/** By its client's clock, or by its broker's. */
const OUT_OF_TIME: ReadonlySet<string> = new Set(['ERR_REQUEST_TIMEOUT', 'ERR_REQUEST_EXPIRED']);

/** The error of the last of several tries, as one of them all. @param time milliseconds they took at most */
function inAll(error: unknown, time: number): unknown {
  if (!(error instanceof RequestError) || !OUT_OF_TIME.has(error.code)) return error;
  const message = `no Titanic answers within ${Math.round(time)} ms: is one there, and its broker?`;
  return new RequestError(error.code, error.service, message, { cause: error });
}

/** Times between two tries: over at their end, when their signal aborts, and at the close. */
class Rests {
  readonly #environment: Environment;
  readonly #ends = new Map<number, () => void>();
  readonly #signals = new SignalWatch((id) => this.#ends.get(id)?.());
  #nextId = 0;
  #isClosed = false;

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** @param duration milliseconds */
  rest(duration: number, signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#environment;
    if (this.#isClosed || signal?.aborted === true) return Promise.resolve();
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const end = (): void => {
        disarm();
        this.#ends.delete(id);
        if (signal !== undefined) this.#signals.delete(signal, id);
        resolve();
      };
      const disarm = clock.wakeAt(clock.now() + duration, end);
      this.#ends.set(id, end);
      if (signal !== undefined) this.#signals.add(signal, id);
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const end of this.#ends.values()) end();
  }
}

function newId(): RequestId {
  return crypto.randomUUID().replaceAll('-', '');
}
