/** The Pirate workers: each runs a handler for one request at a time. */
import type { Completed } from '../core/options.ts';
import { completeOptions } from '../core/options.ts';
import { ClosedError } from '../core/errors.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import {
  abortRequest,
  checkHandler,
  encodeResult,
  HandlerRequest,
  Handling,
  type RequestHandler,
} from '../transport/handling.ts';
import { Readiness } from '../transport/readiness.ts';
import type { PirateProtocol, WorkerInput, WorkerOutput } from './commands.ts';
import {
  paranoidWorkerRules,
  workerRules,
  type ParanoidPirateWorkerOptions,
  type PirateWorkerOptions,
} from './options.ts';
import { workerCodec } from './protocol.ts';
import {
  WorkerMachine,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
} from './worker-machine.ts';

/** What both workers are; made through one of them. */
abstract class PirateWorker extends EventSource<WorkerEvent> {
  readonly #handling: Handling;
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #driver: Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>;
  readonly #endpoints: string[] = [];
  readonly #readiness: Readiness;
  readonly #drained = signal();
  #closing: Promise<void> | undefined;

  protected constructor(
    protocol: PirateProtocol,
    handler: RequestHandler,
    options: Completed<typeof paranoidWorkerRules>,
    environment: Environment,
  ) {
    const { logger, drainTimeout, peerQueueBytes, ...settings } = options;
    super(logger, {
      malformed: 'warn',
      queueLost: 'warn',
      ready: 'info',
      replyDropped: 'warn',
      socketFailed: 'error',
    });
    const { random, transport, clock } = environment;
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    this.#readiness = new Readiness('this worker', ['queue', '6/PPP'], clock);
    this.#handling = new Handling(handler, {
      encode: encodeResult,
      reply: (token, body) => this.#driver.call({ type: 'reply', token, body }),
      fail: (token, failure) => this.#driver.call({ type: 'fail', token, failure }),
    });
    this.#driver = new Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>({
      machine: (outbox) => new WorkerMachine(outbox, { ...settings, protocol, random }),
      codec: workerCodec(protocol),
      kindOf: () => 'dealer',
      transport,
      clock,
      peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.announce({ type: 'socketFailed', reason: String(error) }),
    });
  }

  /** How many handlers run now: 0 or 1. */
  get running(): number {
    return this.#handling.running;
  }

  /**
   * Starts connecting to the first of these endpoints; the others are for when it is lost.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    if (this.#closing !== undefined) throw new ClosedError('this worker');
    const checked = [endpoints].flat().map((endpoint) => checkEndpoint(endpoint, 'connect'));
    this.#endpoints.push(...checked);
    this.#driver.call({ type: 'connect', endpoints: checked });
  }

  /**
   * Lets what runs finish within `drainTimeout`, sends its reply, and frees all resources. What runs
   * longer is aborted through its signal. No Pirate has a word for goodbye: what a queue sent before it
   * saw the link end, it gives to another worker.
   */
  close(): Promise<void> {
    this.#readiness.close();
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

  protected whenReady(options: { readonly timeout?: number } | undefined): Promise<void> {
    return this.#readiness.wait(this.#endpoints, options);
  }

  #handleEvent(event: WorkerEvent): void {
    this.announce(event);
    switch (event.type) {
      case 'request':
        return this.#handling.run(event.token, new HandlerRequest(event.body));
      case 'requestLost':
        return abortRequest(this.#handling.get(event.token));
      case 'ready':
        return this.#readiness.answered();
      case 'drained':
        return this.#drained.fire();
      default:
    }
  }
}

/**
 * A worker of a Simple Pirate queue, ours or a stock one: it does what a REQ socket would, and reconnects.
 *
 * ```js
 * const worker = new SimplePirateWorker((request) => request.text().toUpperCase());
 * worker.connect('tcp://127.0.0.1:5556');
 * ```
 *
 * The protocol has no heartbeats: that the queue is gone, only a notice of the broken link tells. Where
 * zeromq gives none, a worker whose queue was restarted waits for ever, and an endpoint where nobody is
 * bound is waited for everywhere. Paranoid Pirates do better.
 */
export class SimplePirateWorker extends PirateWorker {
  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(
    handler: RequestHandler,
    options?: PirateWorkerOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const completed = completeOptions('SimplePirateWorker', workerRules, options);
    checkHandler('SimplePirateWorker', handler);
    const nobodyBeats = { heartbeatInterval: Infinity, heartbeatLiveness: Infinity };
    super('simple', handler, { ...completed, ...nobodyBeats }, environment);
  }
}

/**
 * A worker of a Paranoid Pirate queue (6/PPP), ours or a stock one: both beat, and it reconnects by
 * itself, for ever.
 *
 * ```js
 * const worker = new ParanoidPirateWorker((request) => request.text().toUpperCase());
 * worker.connect('tcp://127.0.0.1:5556');
 * await worker.ready();
 * ```
 *
 * A handler that blocks the event loop for longer than interval × liveness looks dead to the queue:
 * compute in a worker thread, or raise both sides' liveness.
 */
export class ParanoidPirateWorker extends PirateWorker {
  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(
    handler: RequestHandler,
    options?: ParanoidPirateWorkerOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const completed = completeOptions('ParanoidPirateWorker', paranoidWorkerRules, options);
    checkHandler('ParanoidPirateWorker', handler);
    super('paranoid', handler, completed, environment);
  }

  /**
   * Resolves when the queue has answered; ours does so at once, a stock one with its next heartbeat.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when nobody did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  ready(options?: { readonly timeout?: number }): Promise<void> {
    return this.whenReady(options);
  }
}
