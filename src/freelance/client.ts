/** The Freelance client: requests as promises, to whichever of its servers is live, until one deadline. */
import { framesOf, type Body } from '../core/body.ts';
import { ClosedError, UnsinkableError } from '../core/errors.ts';
import type { Payload } from '../core/payload.ts';
import { checkOptions, completeOptions, type Completed } from '../core/options.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import { PayloadWaiter, PromisedRequests } from '../transport/promised-requests.ts';
import { Readiness } from '../transport/readiness.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ServerHealth,
  type ServerPort,
} from './client-machine.ts';
import type { ClientInput, ClientOutput } from './commands.ts';
import {
  clientRules,
  requestRules,
  type FreelanceClientOptions,
  type FreelanceRequestOptions,
} from './options.ts';
import { clientCodec } from './protocol.ts';

type ClientDriver = Driver<ServerPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;

/**
 * Sends requests to the best of several servers, without a broker between.
 *
 * ```js
 * const client = new FreelanceClient();
 * client.connect(['tcp://127.0.0.1:5555', 'tcp://127.0.0.1:5556']);
 * const reply = await client.request('hello', { timeout: 2500 });
 * reply.text();
 * ```
 *
 * Each request ends in exactly one reply or one `RequestError`. What a lost server had in its hands is
 * asked of the next one, so handlers may see a request more than once: at least once, not exactly once.
 */
export class FreelanceClient extends EventSource<ClientEvent> {
  readonly #environment: Environment;
  readonly #options: Completed<typeof clientRules>;
  readonly #driver: ClientDriver;
  readonly #requests = new PromisedRequests<PayloadWaiter>((id, reason) =>
    this.#driver.call({ type: 'cancel', id, reason }),
  );
  readonly #endpoints: string[] = [];
  readonly #readiness: Readiness;
  readonly #drained = signal();
  #machine!: ClientMachine;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: FreelanceClientOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('FreelanceClient', clientRules, options);
    super(completed.logger, {
      budgetEmpty: 'warn',
      malformed: 'warn',
      retry: 'info',
      serverLive: 'info',
      serverLost: 'warn',
      socketFailed: 'error',
    });
    this.#environment = environment;
    this.#readiness = new Readiness('this client', ['server', '10/FLP'], environment.clock);
    this.#options = completed;
    const settings = { ...completed, random: environment.random };
    this.#driver = new Driver<ServerPort, ClientInput, ClientOutput, ClientCall, ClientEvent>({
      machine: (outbox) => (this.#machine = new ClientMachine(outbox, settings)),
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
   * Starts using a server, or several: their order is their rank where the strategy is `first`. One that
   * is used already is left as it is.
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
   * Resolves when a server is live.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when none was in time
   * @throws ClosedError also when it is closed meanwhile
   */
  ready(options?: { readonly timeout?: number }): Promise<void> {
    const isLive = this.servers().some(({ state }) => state === 'live');
    return this.#readiness.wait(this.#endpoints, options, isLive);
  }

  /** Its servers in the order of `connect`: which of them are live, and how fast they answer. */
  servers(): readonly ServerHealth[] {
    return this.#machine.servers;
  }

  /**
   * Asks a server and resolves to its reply.
   * @param body text, bytes, or an array of them (one frame each). Bytes are not copied.
   * @throws RequestError whose `code` says how it ended
   * @throws InvalidArgumentError `ERR_INVALID_BODY` and others, if the call is wrong
   * @throws ClosedError
   */
  request(body: Body, options?: FreelanceRequestOptions): Promise<Payload> {
    return new Promise((resolve, reject) => {
      const given = checkOptions('request', requestRules, options);
      const frames = framesOf(body);
      if (this.#closing !== undefined) throw new ClosedError('this client');
      if (this.#endpoints.length === 0) {
        const message = 'not connected: call connect(endpoint) first';
        throw new UnsinkableError('ERR_NOT_CONNECTED', message);
      }
      const id = this.#requests.begin(new PayloadWaiter(resolve, reject), given?.signal);
      if (id === undefined) return;
      const { strategy, timeout, attemptTimeout, retries, hedge } = this.#options;
      this.#driver.call({
        type: 'request',
        id,
        body: frames,
        strategy: given?.strategy ?? strategy,
        timeout: given?.timeout ?? timeout,
        attemptTimeout: given?.attemptTimeout ?? attemptTimeout,
        retries: given?.retries ?? retries,
        hedge: given?.hedge ?? hedge,
      });
    });
  }

  /** Waits up to `drainTimeout` for what is outstanding, cancels the rest, and frees all resources. */
  close(): Promise<void> {
    this.#readiness.close();
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
    else if (event.type === 'serverLive') this.#readiness.answered();
    else if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }
}
