/** The Lazy Pirate client: requests as promises, each tried again on a fresh socket until one deadline. */
import { framesOf, type Body } from '../core/body.ts';
import { ClosedError, UnsinkableError } from '../core/errors.ts';
import { checkOptions, completeOptions, type Completed } from '../core/options.ts';
import type { Payload } from '../core/payload.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import { PayloadWaiter, PromisedRequests } from '../transport/promised-requests.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
} from './client-machine.ts';
import type { ClientInput, ClientOutput } from './commands.ts';
import {
  clientRules,
  requestRules,
  type LazyPirateClientOptions,
  type PirateRequestOptions,
} from './options.ts';
import { clientCodec } from './protocol.ts';

/**
 * Sends requests to a queue, or to any server that answers each request once: Simple and Paranoid Pirate
 * queues, REP sockets, ROUTERs.
 *
 * ```js
 * const client = new LazyPirateClient();
 * client.connect(['tcp://127.0.0.1:5555', 'tcp://127.0.0.1:5556']);
 * const reply = await client.request('hello', { timeout: 2500 });
 * reply.text();
 * ```
 *
 * Each request ends in exactly one reply or one `RequestError`. What was not answered in time is asked
 * again, so a worker may see a request more than once: at least once, not exactly once.
 */
export class LazyPirateClient extends EventSource<ClientEvent> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof clientRules>;
  readonly #driver: Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;
  readonly #requests = new PromisedRequests<PayloadWaiter>((id, reason) =>
    this.#driver.call({ type: 'cancel', id, reason }),
  );
  readonly #drained = signal();
  #isConnected = false;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: LazyPirateClientOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('LazyPirateClient', clientRules, options);
    super(completed.logger, {
      malformed: 'warn',
      replyRefused: 'warn',
      retry: 'info',
      socketFailed: 'error',
    });
    this.#environment = environment;
    this.#options = completed;
    const settings = { ...completed, random: environment.random };
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
    this.#isConnected ||= checked.length > 0;
    this.#driver.call({ type: 'connect', endpoints: checked });
  }

  /**
   * Sends a request and resolves to its reply.
   * @param body text, bytes, or an array of them (one frame each). Bytes are not copied.
   * @throws RequestError whose `code` says how it ended
   * @throws InvalidArgumentError `ERR_INVALID_BODY` and others, if the call is wrong
   * @throws UnsinkableError `ERR_NOT_CONNECTED`, if `connect` was not called before
   * @throws ClosedError
   */
  request(body: Body, options?: PirateRequestOptions): Promise<Payload> {
    return new Promise((resolve, reject) => {
      checkOptions('request', requestRules, options);
      const frames = framesOf(body);
      if (this.#closing !== undefined) throw new ClosedError('this client');
      if (!this.#isConnected) {
        const message = 'not connected: call connect(endpoint) first';
        throw new UnsinkableError('ERR_NOT_CONNECTED', message);
      }
      const id = this.#requests.begin(new PayloadWaiter(resolve, reject), options?.signal);
      if (id === undefined) return;
      const { timeout, attemptTimeout, retries } = this.#options;
      this.#driver.call({
        type: 'request',
        id,
        body: frames,
        timeout: options?.timeout ?? timeout,
        attemptTimeout: options?.attemptTimeout ?? attemptTimeout,
        retries: options?.retries ?? retries,
      });
    });
  }

  /** Waits up to `drainTimeout` for what is outstanding, cancels the rest, and frees all resources. */
  close(): Promise<void> {
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

  #handleEvent(event: ClientEvent): void {
    if (event.type === 'reply') this.#requests.reply(event.id, event.body);
    else if (event.type === 'failed') this.#requests.fail(event.id, event);
    else if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }
}
