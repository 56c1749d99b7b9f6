/** The Majordomo client: requests as promises, many in flight, tried again until one deadline. */
import {
  ClosedError,
  InvalidArgumentError,
  NotReadyError,
  RequestError,
  UnsinkableError,
} from '../../core/errors.ts';
import { decodeText } from '../../core/frames.ts';
import { checkOptions, completeOptions, milliseconds, type Completed } from '../../core/options.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { PromisedRequests } from '../../transport/promised-requests.ts';
import { bodyCodecs, type BodyCodec } from '../../core/body-codec.ts';
import type { ServiceStatus } from '../broker/broker-events.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type RequestId,
} from './client-machine.ts';
import type { ClientInput, ClientOutput } from '../wire/commands.ts';
import { encodeHeaders } from '../wire/headers.ts';
import { SERVICE_QUERY, SERVICES_QUERY } from '../wire/mmi.ts';
import {
  clientRules,
  mapRules,
  broadcastRules,
  requestRules,
  type ClientOptions,
  type MapOptions,
  type BroadcastOptions,
  type RequestOptions,
} from '../options.ts';
import { PartStream } from './part-stream.ts';
import { Reply } from '../payload.ts';
import { clientCodec } from '../wire/protocol.ts';
import { RequestMap, type Asked, type MapInputs } from './request-map.ts';
import { checkService } from '../wire/service-name.ts';
import {
  BroadcastWaiter,
  ReplyWaiter,
  StreamWaiter,
  type BroadcastEntry,
  type ServiceWaiter,
} from './waiters.ts';

/** How long one try of `ready()` waits for an answer, in milliseconds. */
const READY_TRY = 500;

type ClientDriver = Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;

/** How the outcome of a request is told. */
type Manner = 'whole' | 'stream' | 'broadcast';

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
 * Each request ends in exactly one reply or one `RequestError`. What was lost is tried again, so a
 * handler may see a request more than once: at least once, not exactly once.
 */
export class MajordomoClient extends EventSource<ClientEvent> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof clientRules>;
  readonly #codecs: ReadonlyMap<string, BodyCodec>;
  readonly #driver: ClientDriver;
  readonly #requests = new PromisedRequests<ServiceWaiter>((id, reason) =>
    this.#driver.call({ type: 'cancel', id, reason }),
  );
  readonly #endpoints: string[] = [];
  readonly #drained = signal();
  readonly #closeSignal = new AbortController();
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: ClientOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('MajordomoClient', clientRules, options);
    super(completed.logger, {
      brokerLost: 'warn',
      failedOver: 'warn',
      malformed: 'warn',
      ready: 'info',
      replyRefused: 'warn',
      retry: 'info',
      socketFailed: 'error',
    });
    this.#environment = environment;
    this.#options = completed;
    const { codecs, streamBufferBytes, streamWindow } = completed;
    this.#codecs = new Map(
      Object.entries(codecs).map(([service, name]) => [service, bodyCodecs[name]]),
    );
    const settings = {
      ...completed,
      replyBufferBytes: streamBufferBytes,
      streamWindow: Math.min(streamWindow, streamBufferBytes),
      random: environment.random,
    };
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
   * @param body text, bytes, or an array of them (one frame each); with a codec any value that it can
   * write. Bytes are not copied.
   * @throws RequestError whose `code` says how it ended
   * @throws InvalidArgumentError `ERR_INVALID_BODY` and others, if the call is wrong
   * @throws ClosedError
   */
  request(service: string, body: unknown, options?: RequestOptions): Promise<Reply> {
    return new Promise((resolve, reject) => {
      checkOptions('request', requestRules, options);
      const waiter = new ReplyWaiter(service, this.#codecOf(service, options), resolve, reject);
      this.#start(waiter, body, options, 'whole');
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
    body: unknown,
    options?: RequestOptions,
  ): AsyncGenerator<Reply, void, undefined> {
    checkOptions('stream', requestRules, options);
    if (this.#options.protocol === 'mdp0.1') {
      throw new InvalidArgumentError('ERR_INVALID_OPTION', NO_PARTIALS);
    }
    if (options?.idempotencyKey !== undefined) {
      throw new InvalidArgumentError('ERR_INVALID_OPTION', NO_KEYED_STREAM);
    }
    const limit = this.#options.streamBufferBytes;
    const parts = new PartStream(limit, (bytes) => {
      this.#driver.call({ type: 'taken', id, bytes });
    });
    const waiter = new StreamWaiter(service, this.#codecOf(service, options), parts, () => {
      const message = `more than ${limit} bytes were left unread: read faster, or raise streamBufferBytes`;
      parts.fail(waiter.errorOf({ code: 'ERR_STREAM_OVERFLOW', message }));
      this.#requests.cancel(id, 'the reader fell behind');
    });
    const id = this.#start(waiter, body, options, 'stream');
    try {
      yield* parts;
    } finally {
      this.#requests.cancel(id, 'the reader left the stream');
    }
  }

  /**
   * Makes a request of each input and yields the results: a work queue over all workers of `service`.
   * The input is read only while there is room. The first failure ends it, unless `failures` is
   * `yield`. At its end, and when the loop is left, what is under way is cancelled and the input closed.
   * @throws RequestError as `request`
   */
  map(
    service: string,
    inputs: MapInputs,
    options: MapOptions & { readonly failures: 'yield' },
  ): AsyncGenerator<Reply | RequestError, void, undefined>;
  map(
    service: string,
    inputs: MapInputs,
    options?: MapOptions & { readonly failures?: 'throw' | undefined },
  ): AsyncGenerator<Reply, void, undefined>;
  map(
    service: string,
    inputs: MapInputs,
    options: MapOptions,
  ): AsyncGenerator<Reply | RequestError, void, undefined>;
  async *map(
    service: string,
    inputs: MapInputs,
    options?: MapOptions,
  ): AsyncGenerator<Reply | RequestError, void, undefined> {
    const { concurrency, ordered, failures, ...each } = completeOptions('map', mapRules, options);
    const codec = this.#codecOf(service, each);
    const ask = (input: unknown): Asked => {
      let id: RequestId = NONE;
      const reply = new Promise<Reply>((resolve, reject) => {
        id = this.#start(new ReplyWaiter(service, codec, resolve, reject), input, each, 'whole');
      });
      return { reply, cancel: () => this.#requests.cancel(id, 'the map has ended') };
    };
    yield* new RequestMap(ask, inputs, { concurrency, ordered, failures }).results();
  }

  /**
   * Asks each worker of `service` that is there, and resolves to what became of each: one that has not
   * answered after nine tenths of `timeout` has its `ERR_REQUEST_EXPIRED`. Needs express.
   * @throws RequestError as `request`, if the whole could not be done
   */
  broadcast(
    service: string,
    body: unknown,
    options?: BroadcastOptions,
  ): Promise<readonly BroadcastEntry[]> {
    return new Promise((resolve, reject) => {
      checkOptions('broadcast', broadcastRules, options);
      const waiter = new BroadcastWaiter(service, this.#codecOf(service, options), resolve, reject);
      this.#start(waiter, body, options, 'broadcast');
    });
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

  #codecOf(service: string, options: RequestOptions | undefined): BodyCodec {
    if (options?.codec !== undefined) return bodyCodecs[options.codec];
    return this.#codecs.get(service) ?? bodyCodecs.bytes;
  }

  /** Checks the rest of the call, and hands it to the machine. */
  #start(
    waiter: ServiceWaiter,
    body: unknown,
    options: RequestOptions | undefined,
    manner: Manner,
  ): RequestId {
    const { service, codec } = waiter;
    checkService(service);
    const frames = codec.encode(body);
    const headers = encodeHeaders(options?.headers, codec.contentType);
    if (this.#closing !== undefined) throw new ClosedError('this client');
    if (this.#endpoints.length === 0) {
      throw new UnsinkableError('ERR_NOT_CONNECTED', 'not connected: call connect(endpoint) first');
    }
    const id = this.#requests.begin(waiter, options?.signal);
    if (id === undefined) return NONE;
    const streaming = manner === 'stream';
    const { protocol, timeout, attemptTimeout, retries } = this.#options;
    const isStock = protocol === 'mdp0.1' || protocol === 'mdp0.2';
    this.#driver.call({
      type: 'request',
      id,
      service,
      body: frames,
      dialect: isStock ? protocol : streaming ? 'mdp0.2' : 'mdp0.1',
      streaming,
      timeout: options?.timeout ?? timeout,
      attemptTimeout: options?.attemptTimeout ?? attemptTimeout,
      retries: options?.retries ?? retries,
      key: options?.idempotencyKey,
      failFast: options?.failFast,
      broadcast: manner === 'broadcast' ? true : undefined,
      priority: options?.priority,
      requestTtl: options?.requestTtl,
      headers,
    });
    return id;
  }

  #handleEvent(event: ClientEvent): void {
    if (event.type === 'reply') this.#requests.reply(event.id, event.body);
    else if (event.type === 'partial') {
      this.#requests.get(event.id)?.partial(event.body, event.failure);
    } else if (event.type === 'failed') this.#requests.fail(event.id, event);
    else if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }
}

/** No request has this id. */
const NONE: RequestId = -1;

const NO_PARTIALS =
  "MDP 0.1 has no partial replies: create the client with protocol 'auto' or 'mdp0.2'";
const NO_KEYED_STREAM =
  'a stream is not repeated from memory: give the idempotencyKey to request() instead';
