/** The queues between Pirate clients and workers: two ROUTERs, on any endpoints. */
import { ClosedError } from '../core/errors.ts';
import { completeOptions, type Completed } from '../core/options.ts';
import { bindPort } from '../transport/binding.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import type { PirateProtocol, QueueInput, QueueOutput, QueuePort } from './commands.ts';
import {
  paranoidQueueRules,
  queueRules,
  type ParanoidPirateQueueOptions,
  type PirateQueueOptions,
} from './options.ts';
import { queueCodec } from './protocol.ts';
import type { QueueEvent, QueueStatus } from './queue-events.ts';
import { QueueMachine, type QueueCall } from './queue-machine.ts';

/** What both queues are: all but who beats. Make a `SimplePirateQueue` or a `ParanoidPirateQueue`. */
export class PirateQueue extends EventSource<QueueEvent> {
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #driver: Driver<QueuePort, QueueInput, QueueOutput, QueueCall, QueueEvent>;
  readonly #bound: Record<QueuePort, string | undefined> = {
    frontend: undefined,
    backend: undefined,
  };
  readonly #drained = signal();
  #machine!: QueueMachine;
  #closing: Promise<void> | undefined;

  /** @param options completed; for `simple` with an interval of `Infinity` */
  protected constructor(
    protocol: PirateProtocol,
    options: Completed<typeof paranoidQueueRules>,
    environment: Environment,
  ) {
    const { logger, drainTimeout, peerQueueBytes, ...settings } = options;
    super(logger, {
      deadLetter: 'warn',
      malformed: 'warn',
      requestRefused: 'warn',
      workerLost: 'info',
      workerOverdue: 'warn',
      workerReady: 'info',
      workerRecovered: 'info',
      workerRefused: 'warn',
    });
    const { random } = environment;
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    this.#driver = new Driver<QueuePort, QueueInput, QueueOutput, QueueCall, QueueEvent>({
      machine: (outbox) =>
        (this.#machine = new QueueMachine(outbox, { ...settings, protocol, random })),
      codec: queueCodec(protocol),
      kindOf: () => 'router',
      transport: environment.transport,
      clock: environment.clock,
      peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
    });
  }

  /** Where clients connect: the first real endpoint; undefined before `bindFrontend`. */
  get frontend(): string | undefined {
    return this.#bound.frontend;
  }

  /** Where workers connect: the first real endpoint; undefined before `bindBackend`. */
  get backend(): string | undefined {
    return this.#bound.backend;
  }

  /**
   * Binds to one more endpoint for clients: `tcp://127.0.0.1:5555`, `tcp://127.0.0.1:*` for any free
   * port, `ipc:///path`, `inproc://name`. Resolves to the real one.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws ClosedError
   */
  bindFrontend(endpoint: string): Promise<string> {
    return this.#bind('frontend', endpoint);
  }

  /** Binds to one more endpoint for workers, as `bindFrontend` does for clients. */
  bindBackend(endpoint: string): Promise<string> {
    return this.#bind('backend', endpoint);
  }

  /** What it is doing, and what it has seen since it began. */
  status(): QueueStatus {
    return this.#machine.status();
  }

  /**
   * Takes nothing new, fails what is queued with `ERR_SERVER_CLOSING` (our clients then try again), and
   * lets what runs finish within `drainTimeout`. Neither protocol has a goodbye: workers learn of it as
   * their link breaks.
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

  async #bind(port: QueuePort, endpoint: string): Promise<string> {
    const checked = checkEndpoint(endpoint, 'bind');
    if (this.#closing !== undefined) throw new ClosedError('this queue');
    const bound = await bindPort(this.#driver, port, checked);
    this.#bound[port] ??= bound;
    return bound;
  }

  #handleEvent(event: QueueEvent): void {
    if (event.type === 'drained') this.#drained.fire();
    this.announce(event);
  }
}

/**
 * Brings requests of any clients to Simple Pirate workers, stock REQ sockets among them, and replies back.
 *
 * ```js
 * const queue = new SimplePirateQueue();
 * await queue.bindFrontend('tcp://127.0.0.1:5555');
 * await queue.bindBackend('tcp://127.0.0.1:5556');
 * ```
 *
 * Every accepted request ends in exactly one reply or failure, and one whose worker is lost goes to
 * another. That a worker was lost only the end of its connection tells, or `attemptTimeout`: a worker that
 * may stop without a sign wants the `ParanoidPirateQueue`. Requests live in memory: they do not survive
 * the queue (clients try again).
 */
export class SimplePirateQueue extends PirateQueue {
  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: PirateQueueOptions, environment: Environment = systemEnvironment()) {
    const completed = completeOptions('SimplePirateQueue', queueRules, options);
    const silence = { heartbeatInterval: Infinity, heartbeatLiveness: 1 };
    super('simple', { ...completed, ...silence }, environment);
  }
}

/**
 * As the `SimplePirateQueue`, with heartbeats in both directions, 6/PPP: whoever is silent for
 * `heartbeatInterval` × `heartbeatLiveness` is lost, idle or busy.
 */
export class ParanoidPirateQueue extends PirateQueue {
  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(
    options?: ParanoidPirateQueueOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const completed = completeOptions('ParanoidPirateQueue', paranoidQueueRules, options);
    super('paranoid', completed, environment);
  }
}
