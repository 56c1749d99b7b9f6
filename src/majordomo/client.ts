/** The Majordomo client: requests as promises, many in flight, tried again until one deadline. */
import { framesOf, type Body } from '../core/body.ts';
import {
  ClosedError,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  UnsinkableError,
  type RequestErrorCode,
} from '../core/errors.ts';
import { decodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import { completeOptions, milliseconds, type Completed } from '../core/options.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type RequestId,
} from './client-machine.ts';
import type { ClientInput, ClientOutput, Dialect } from './commands.ts';
import type { ServiceStatus } from './broker-events.ts';
import { SERVICE_QUERY, SERVICES_QUERY } from './mmi.ts';
import {
  clientRules,
  requestRules,
  type ClientOptions,
  type ClientProtocol,
  type RequestOptions,
} from './options.ts';
import { Reply } from './payload.ts';
import { clientCodec } from './protocol.ts';
import { PartStream } from './part-stream.ts';
import { checkService } from './service-name.ts';

/** How long one try of `ready()` waits for an answer, in milliseconds. */
const READY_TRY = 500;

/** Milliseconds for one try of a request without a timeout. */
const LONGEST_TRY = 60_000;

/** What waits for the outcome of a request. */
interface Waiter {
  partial(body: Frames): void;
  reply(body: Frames): void;
  fail(code: RequestErrorCode, message: string): void;
}

/**
 * Sends requests to services through a broker.
 *
 * ```js
 * const client = new MajordomoClient();
 * client.connect('tcp://127.0.0.1:5555');
 * const reply = await client.request('upper', 'hello', { timeout: 2500 });
 * reply.text();
 * ```
 *
 * Each request ends in exactly one reply or one `RequestError`. A try without an answer is repeated on
 * a new socket, so a handler may see a request more than once: at least once, not exactly once.
 */
export class MajordomoClient extends EventSource<ClientEvent> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof clientRules>;
  readonly #driver: Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;
  readonly #waiters = new Map<RequestId, Waiter>();
  readonly #endpoints: string[] = [];
  readonly #drained = signal();
  readonly #closeSignal = new AbortController();
  #nextId: RequestId = 0;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: ClientOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('MajordomoClient', clientRules, options);
    super(completed.logger, {
      malformed: 'warn',
      retry: 'info',
      replyRefused: 'warn',
      socketFailed: 'error',
    });
    this.#environment = environment;
    this.#options = completed;
    const { random } = environment;
    const settings = { ...completed, replyBufferBytes: completed.streamBufferBytes, random };
    this.#driver = new Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>({
      machine: (outbox) => new ClientMachine(outbox, settings),
      codec: clientCodec,
      kindOf: () => 'dealer',
      transport: environment.transport,
      clock: environment.clock,
      peerQueueBytes: completed.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.announce({ type: 'socketFailed', reason: String(error) }),
    });
  }

  /**
   * Starts using an endpoint, or several: the next one is used when one lets a request down.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    if (this.#closing !== undefined) throw new ClosedError('this client');
    const checked = [endpoints].flat().map((endpoint) => checkEndpoint(endpoint, 'connect'));
    this.#endpoints.push(...checked);
    this.#driver.call({ type: 'connect', endpoints: checked });
  }

  /**
   * Resolves when a broker has answered.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when none did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async ready(options?: { readonly timeout?: number }): Promise<void> {
    const rules = { timeout: milliseconds(10_000) };
    const { timeout } = completeOptions('ready', rules, options);
    if (this.#closing !== undefined) throw new ClosedError('this client');
    if (this.#endpoints.length === 0) throw new NotReadyError([], timeout);
    const { signal: closed } = this.#closeSignal;
    const retries = Math.ceil(timeout / READY_TRY);
    try {
      await this.request(SERVICE_QUERY, SERVICE_QUERY, {
        timeout,
        attemptTimeout: READY_TRY,
        retries,
        signal: closed,
      });
    } catch (error) {
      if (closed.aborted) throw new ClosedError('this client');
      if (!(error instanceof RequestError) || error.code !== 'ERR_REQUEST_TIMEOUT') throw error;
      throw new NotReadyError(this.#endpoints, timeout);
    }
  }

  /**
   * Asks `service` and resolves to its reply.
   * @param body text, bytes, or an array of them (one frame each). Bytes are not copied.
   * @throws RequestError whose `code` says how it ended
   * @throws InvalidArgumentError `ERR_INVALID_BODY` and others, if the call is wrong
   * @throws ClosedError
   */
  async request(service: string, body: Body, options?: RequestOptions): Promise<Reply> {
    return await new Promise((resolve, reject) => {
      this.#start(service, body, options, false, {
        partial: () => {},
        reply: (frames) => resolve(new Reply(service, frames, true)),
        fail: (code, message) => reject(this.#errorOf(service, code, message, options?.signal)),
      });
    });
  }

  /**
   * Asks `service` and yields the parts of its reply as they come; the last one is `final`, and left
   * out if it is empty. Leaving the loop cancels the request. After the first part nothing is tried
   * again. `timeout` is for the whole stream, `attemptTimeout` for the silence between two parts.
   * @throws RequestError as `request`, and `ERR_STREAM_OVERFLOW` if the reader falls too far behind
   */
  async *stream(
    service: string,
    body: Body,
    options?: RequestOptions,
  ): AsyncGenerator<Reply, void, undefined> {
    if (this.#options.protocol === 'mdp0.1') {
      const message =
        "MDP 0.1 has no partial replies: create the client with protocol 'auto' or 'mdp0.2'";
      throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
    }
    const limit = this.#options.streamBufferBytes;
    const parts = new PartStream(limit);
    const cancel = this.#start(service, body, options, true, {
      partial: (frames) => {
        if (parts.push(new Reply(service, frames, false))) return;
        const message = `more than ${limit} bytes were left unread: read faster, or raise streamBufferBytes`;
        parts.fail(this.#errorOf(service, 'ERR_STREAM_OVERFLOW', message));
        cancel('the reader fell behind');
      },
      reply: (frames) => parts.finish(new Reply(service, frames, true)),
      fail: (code, message) => parts.fail(this.#errorOf(service, code, message, options?.signal)),
    });
    try {
      yield* parts;
    } finally {
      cancel('the reader left the stream');
    }
  }

  /**
   * The services a broker of this library knows, with their workers and queues; at most 1,000.
   * @throws RequestError
   * @throws SyntaxError if what answers is no broker of this library
   */
  async services(options?: RequestOptions): Promise<readonly ServiceStatus[]> {
    const reply = await this.request(SERVICES_QUERY, '', options);
    const [status, json] = reply.body;
    if (json === undefined || decodeText(status!) !== '200') {
      const message = 'this broker does not list its services: it is not an unsinkable broker';
      throw new RequestError('ERR_HANDLER_FAILED', SERVICES_QUERY, message);
    }
    const services: unknown = new Reply(SERVICES_QUERY, [json], true).json();
    if (!Array.isArray(services)) throw new SyntaxError('not a list of services');
    return services as readonly ServiceStatus[];
  }

  /** Waits up to `drainTimeout` for what is outstanding, cancels the rest, and frees all resources. */
  close(): Promise<void> {
    this.#closeSignal.abort();
    this.#closing ??= drainAndClose(
      this.#driver,
      this.#environment.clock,
      this.#options.drainTimeout,
      this.#drained.promise,
    );
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Checks the call, hands it to the machine, and returns what cancels it. */
  #start(
    service: string,
    body: Body,
    given: RequestOptions | undefined,
    streaming: boolean,
    waiter: Waiter,
  ): (reason: string) => void {
    checkService(service);
    const frames = framesOf(body);
    const options = completeOptions('request', requestRules, given);
    if (this.#closing !== undefined) throw new ClosedError('this client');
    if (this.#endpoints.length === 0) {
      throw new UnsinkableError('ERR_NOT_CONNECTED', 'not connected: call connect(endpoint) first');
    }
    const abort = options.signal;
    if (abort?.aborted === true) {
      waiter.fail('ERR_CANCELLED', 'the request was cancelled before it was sent');
      return () => {};
    }
    const id = this.#nextId++;
    const cancel = (reason: string): void => {
      if (this.#waiters.has(id)) this.#driver.call({ type: 'cancel', id, reason });
    };
    const onAbort = (): void => cancel('the request was cancelled by its signal');
    abort?.addEventListener('abort', onAbort, { once: true });
    const settle = (): void => abort?.removeEventListener('abort', onAbort);
    this.#waiters.set(id, {
      partial: (part) => waiter.partial(part),
      reply: (reply) => (settle(), waiter.reply(reply)),
      fail: (code, message) => (settle(), waiter.fail(code, message)),
    });
    const timeout = options.timeout ?? this.#options.timeout;
    const retries = options.retries ?? this.#options.retries;
    const attemptTimeout =
      options.attemptTimeout ?? this.#options.attemptTimeout ?? shareOf(timeout, retries);
    const dialect = dialectFor(this.#options.protocol, streaming);
    this.#driver.call({
      type: 'request',
      id,
      service,
      body: frames,
      dialect,
      streaming,
      timeout,
      attemptTimeout,
      retries,
    });
    return cancel;
  }

  #handleEvent(event: ClientEvent): void {
    if (event.type === 'drained') this.#drained.fire();
    else if (event.type === 'partial') this.#waiters.get(event.id)?.partial(event.body);
    else if (event.type === 'reply' || event.type === 'failed') {
      const waiter = this.#waiters.get(event.id);
      this.#waiters.delete(event.id);
      if (event.type === 'reply') waiter?.reply(event.body);
      else waiter?.fail(event.code, event.message);
    }
    this.announce(event);
  }

  #errorOf(
    service: string,
    code: RequestErrorCode,
    message: string,
    abort?: AbortSignal,
  ): RequestError {
    const cause: unknown = code === 'ERR_CANCELLED' && abort?.aborted ? abort.reason : undefined;
    return new RequestError(code, service, message, cause === undefined ? undefined : { cause });
  }
}

function dialectFor(protocol: ClientProtocol, streaming: boolean): Dialect {
  if (protocol !== 'auto') return protocol;
  return streaming ? 'mdp0.2' : 'mdp0.1';
}

/** What one try gets of the whole. One that may last for ever still needs tries that end. */
function shareOf(timeout: number, retries: number): number {
  return timeout === Infinity ? LONGEST_TRY : timeout / (retries + 1);
}
