/** The Freelance server: one ROUTER that binds, and a handler for what clients ask of it. */
import { ClosedError, InvalidArgumentError } from '../core/errors.ts';
import { completeOptions } from '../core/options.ts';
import { bindPort } from '../transport/binding.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import {
  abortRequest,
  checkHandler,
  encodeResult,
  Handling,
  HandlerRequest,
  type RequestHandler,
} from '../transport/handling.ts';
import type { ServerInput, ServerOutput } from './commands.ts';
import { serverRules, type FreelanceServerOptions } from './options.ts';
import { serverCodec } from './protocol.ts';
import type { FreelanceServerEvent, FreelanceServerStatus } from './server-events.ts';
import { ServerMachine, type ServerCall, type ServerPort } from './server-machine.ts';

/** Returns the reply, or nothing for an empty one. Throwing is an error reply, not a crash. */
export type FreelanceHandler = RequestHandler;

/**
 * Answers requests of Freelance clients, each of which knows several such servers.
 *
 * ```js
 * const server = new FreelanceServer((request) => request.text().toUpperCase());
 * await server.bind('tcp://127.0.0.1:5555');
 * ```
 *
 * A client may ask two servers the same, or one again after its link broke: a handler should be one that
 * may run twice.
 */
export class FreelanceServer extends EventSource<FreelanceServerEvent> {
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #publicEndpoint: string | undefined;
  readonly #handling: Handling;
  readonly #driver: Driver<ServerPort, ServerInput, ServerOutput, ServerCall, FreelanceServerEvent>;
  readonly #endpoints: string[] = [];
  readonly #drained = signal();
  #machine!: ServerMachine;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(
    handler: FreelanceHandler,
    options?: FreelanceServerOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const { logger, drainTimeout, peerQueueBytes, publicEndpoint, ...settings } = completeOptions(
      'FreelanceServer',
      serverRules,
      options,
    );
    super(logger, { malformed: 'warn', replyDropped: 'warn', requestRefused: 'warn' });
    checkHandler('FreelanceServer', handler);
    if (publicEndpoint !== undefined) checkPublicEndpoint(publicEndpoint);
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    this.#publicEndpoint = publicEndpoint;
    this.#handling = new Handling(handler, {
      encode: encodeResult,
      reply: (token, body) => this.#driver.call({ type: 'reply', token, body }),
      fail: (token, failure) => this.#driver.call({ type: 'fail', token, failure }),
    });
    this.#driver = new Driver<
      ServerPort,
      ServerInput,
      ServerOutput,
      ServerCall,
      FreelanceServerEvent
    >({
      machine: (outbox) => (this.#machine = new ServerMachine(outbox, settings)),
      codec: serverCodec,
      kindOf: () => 'router',
      transport: environment.transport,
      clock: environment.clock,
      peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
    });
  }

  /** The first endpoint it is bound to, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** All endpoints it is bound to. */
  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  /** How many handlers run now. */
  get running(): number {
    return this.#handling.running;
  }

  /**
   * Binds to one more endpoint: `tcp://127.0.0.1:5555`, `tcp://127.0.0.1:*` for any free port,
   * `ipc:///path`, `inproc://name`. Resolves to the real one, which with the option `publicEndpoint` left
   * out is also its name for clients of other implementations.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`; `ERR_INVALID_OPTION` for an endpoint that stands
   *   for all addresses of the machine, such as `tcp://*:5555`, without `publicEndpoint`
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws ClosedError
   */
  async bind(endpoint: string): Promise<string> {
    const checked = checkEndpoint(endpoint, 'bind');
    const name = this.#publicEndpoint ?? true;
    if (name === true) checkHasAddress(checked);
    if (this.#closing !== undefined) throw new ClosedError('this server');
    const bound = await bindPort(this.#driver, 'clients', checked, name);
    this.#endpoints.push(bound);
    return bound;
  }

  /** What it is doing, and what it has seen since it began. */
  status(): FreelanceServerStatus {
    return this.#machine.status();
  }

  /**
   * Takes nothing new, fails what waits with `ERR_SERVER_CLOSING` (our clients then ask another server),
   * and lets what runs finish within `drainTimeout`. What runs longer is aborted through its signal.
   */
  close(): Promise<void> {
    this.#closing ??= drainAndClose(
      this.#driver,
      this.#environment.clock,
      this.#drainTimeout,
      this.#drained.promise,
    );
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #handleEvent(event: FreelanceServerEvent): void {
    this.announce(event);
    if (event.type === 'request') {
      this.#handling.run(event.token, new HandlerRequest(event.body));
    } else if (event.type === 'requestLost') abortRequest(this.#handling.get(event.token));
    else if (event.type === 'drained') this.#drained.fire();
  }
}

/** @throws InvalidArgumentError `ERR_INVALID_OPTION` if nobody can connect to it */
function checkPublicEndpoint(endpoint: string): void {
  try {
    checkEndpoint(endpoint, 'connect');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `FreelanceServer: option 'publicEndpoint' is not what clients connect to: ${reason}`;
    throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
  }
}

/**
 * An endpoint for all addresses of the machine is none that clients connect to, and so no name.
 * @throws InvalidArgumentError `ERR_INVALID_OPTION`
 */
function checkHasAddress(endpoint: string): void {
  if (!/^(?:tcp|ws):\/\/(?:\*|0\.0\.0\.0|\[[0:.]+\]):/.test(endpoint)) return;
  const message =
    `FreelanceServer: to bind ${endpoint}, all addresses of this machine, say in option ` +
    `'publicEndpoint' which one clients connect to, such as 'tcp://192.0.2.1:5555'`;
  throw new InvalidArgumentError('ERR_INVALID_OPTION', message);
}
