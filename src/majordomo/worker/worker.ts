/** The Majordomo worker: offers one service, and runs a handler for each request. */
import type { Body } from '../../core/body.ts';
import { ClosedError, InvalidArgumentError, NotReadyError } from '../../core/errors.ts';
import { completeOptions } from '../../core/options.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { checkHandler, Handling } from '../../transport/handling.ts';
import { Readiness } from '../../transport/readiness.ts';
import { bodyCodecs, type CodecName } from '../../core/body-codec.ts';
import type { WorkerInput, WorkerOutput } from '../wire/commands.ts';
import { beaconTemplate } from './express-beacon.ts';
import { isReserved, RESERVED_PREFIX } from '../wire/mmi.ts';
import { workerRules, type WorkerOptions } from '../options.ts';
import { workerCodec } from '../wire/protocol.ts';
import { checkService } from '../wire/service-name.ts';
import {
  WorkerMachine,
  type CancelReason,
  type HandlerToken,
  type WorkerCall,
  type WorkerEvent,
  type WorkerMachineEvent,
  type WorkerPort,
} from './worker-machine.ts';
import {
  abortRequest,
  partWritten,
  settleRequest,
  WorkerRequest,
  type RequestHost,
} from './worker-request.ts';

export { WorkerRequest };

/** Returns the reply, or nothing for an empty one. Throwing is an error reply, not a crash. */
export type WorkerHandler = (request: WorkerRequest) => Body | void | Promise<Body | void>;

/** With a codec other than `bytes`: returns any value that the codec can write, or a promise of it. */
export type ValueHandler = (request: WorkerRequest) => unknown;

type WorkerDriver = Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerMachineEvent>;

/**
 * Offers one service to a broker.
 *
 * ```js
 * const worker = new MajordomoWorker('upper', (request) => request.text().toUpperCase());
 * worker.connect('tcp://127.0.0.1:5555');
 * await worker.ready();
 * ```
 *
 * It reconnects by itself, for ever. A handler may block the event loop as long as it likes if the
 * broker is ours: a thread says that the process lives. A stock broker takes the worker for dead after
 * its expiry: compute in a worker thread, or raise the expiry.
 */
export class MajordomoWorker extends EventSource<WorkerEvent> {
  /** The service it offers. */
  readonly service: string;
  readonly #handling: Handling<WorkerRequest>;
  readonly #host: RequestHost;
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  /** Sessions with a stock broker. */
  readonly #sessions: number;
  readonly #hasBeacon: boolean;
  readonly #driver: WorkerDriver;
  readonly #endpoints: string[] = [];
  /** Sessions of stock MDP that were answered. */
  readonly #answered = new Set<number>();
  /** Endpoints of passive brokers that answered. */
  readonly #passive = new Set<string>();
  readonly #readiness: Readiness;
  readonly #drained = signal();
  #closing: Promise<void> | undefined;
  #beaconClosed: Promise<void> | undefined;

  /**
   * @param service 1 to 255 bytes of UTF-8, not beginning with `mmi.`
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(
    service: string,
    handler: WorkerHandler,
    options?: WorkerOptions,
    environment?: Environment,
  );
  /** With a codec, the values of handlers and of `request.write` are whatever it can write. */
  constructor(
    service: string,
    handler: ValueHandler,
    options: WorkerOptions & { readonly codec: CodecName },
    environment?: Environment,
  );
  constructor(
    service: string,
    handler: ValueHandler,
    options?: WorkerOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const { logger, drainTimeout, peerQueueBytes, codec, beacon, ...settings } = completeOptions(
      'MajordomoWorker',
      workerRules,
      options,
    );
    super(logger, {
      beaconFailed: 'warn',
      brokerLost: 'warn',
      failedOver: 'warn',
      malformed: 'warn',
      ready: 'info',
      replyDropped: 'warn',
      socketFailed: 'error',
      standby: 'info',
    });
    this.service = checkService(service);
    if (isReserved(service)) {
      const message = `names under '${RESERVED_PREFIX}' are the broker's own: choose another service name`;
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    checkHandler('MajordomoWorker', handler);
    const { random, transport, clock } = environment;
    const bodyCodec = bodyCodecs[codec];
    this.#handling = new Handling(handler, {
      encode: (result) => bodyCodec.encode(codec === 'bytes' ? (result ?? []) : result),
      settled: settleRequest,
      reply: (token, body) => this.#driver.call({ type: 'reply', token, body }),
      fail: (token, failure) => this.#driver.call({ type: 'fail', token, failure }),
    });
    this.#host = {
      codec: bodyCodec,
      clock,
      write: (token, body) => this.#driver.call({ type: 'write', token, body }),
      malformed: (reason) => this.announce({ type: 'malformed', reason }),
    };
    this.#environment = environment;
    this.#readiness = new Readiness('this worker', ['broker', 'MDP'], clock);
    this.#drainTimeout = drainTimeout;
    this.#sessions = Math.min(settings.concurrency, settings.lanes);
    this.#hasBeacon = beacon;
    this.#driver = new Driver<
      WorkerPort,
      WorkerInput,
      WorkerOutput,
      WorkerCall,
      WorkerMachineEvent
    >({
      machine: (outbox) => new WorkerMachine(outbox, { ...settings, service, random }),
      codec: workerCodec,
      kindOf: () => 'dealer',
      transport,
      clock,
      peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
      onSocketError: (error) => this.announce({ type: 'socketFailed', reason: String(error) }),
    });
  }

  /** How many handlers run now. */
  get running(): number {
    return this.#handling.running;
  }

  /**
   * Starts connecting, to the first endpoint that answers; the others are for when it is lost. With brokers
   * that are a pair, to all of them: whichever serves then gives it work.
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
   * Resolves when the broker has answered; a stock broker, with `concurrency`, to each session; of a pair
   * the active one. Where none of a pair is active, it resolves when the time is over: the passive ones
   * that answered know this worker, and give it work as soon as they serve.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when nobody did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async ready(options?: { readonly timeout?: number }): Promise<void> {
    try {
      await this.#readiness.wait(this.#endpoints, options);
    } catch (error) {
      if (!(error instanceof NotReadyError) || this.#passive.size === 0) throw error;
    }
  }

  /**
   * Takes nothing new and hands back what was on its way, lets what runs finish within `drainTimeout`,
   * tells the broker goodbye, and frees all resources. What runs longer is aborted through its signal.
   */
  close(): Promise<void> {
    this.#readiness.close();
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { clock } = this.#environment;
    await drainAndClose(this.#driver, clock, this.#drainTimeout, this.#drained.promise);
    await this.#beaconClosed;
  }

  #handleEvent(event: WorkerMachineEvent): void {
    switch (event.type) {
      case 'request':
        this.announce(event);
        return this.#handling.run(event.token, new WorkerRequest(event, this.#host));
      case 'written': {
        const request = this.#handling.get(event.token);
        if (request !== undefined) partWritten(request);
        return;
      }
      case 'sessionOpened':
        return this.#openBeacon(event.endpoint, event.session, event.interval);
      case 'sessionClosed':
        if (this.#hasBeacon) this.#beaconClosed = this.#environment.beacon?.close(event.session);
        return;
      case 'requestLost':
        this.#abort(event.token, undefined);
        break;
      case 'requestCancelled':
        this.#abort(event.token, event.reason);
        break;
      case 'ready':
        this.#answered.add(event.session);
        if (event.dialect === 'express' || this.#answered.size === this.#sessions) {
          this.#readiness.answered();
        }
        break;
      case 'standby':
        this.#passive.add(event.endpoint);
        break;
      case 'brokerLost':
        this.#passive.delete(event.endpoint);
        break;
      case 'drained':
        this.#drained.fire();
        break;
      default:
    }
    this.announce(event);
  }

  #abort(token: HandlerToken, reason: CancelReason | undefined): void {
    const request = this.#handling.get(token);
    if (request === undefined) return;
    const message = 'the time of the request is over';
    abortRequest(
      request,
      reason === 'deadline' ? new DOMException(message, 'TimeoutError') : undefined,
    );
  }

  #openBeacon(endpoint: string, session: string, interval: number): void {
    if (!this.#hasBeacon) return;
    const settings = { endpoint, interval, ...beaconTemplate(session) };
    this.#environment.beacon?.open(session, settings, (reason) =>
      this.announce({ type: 'beaconFailed', reason }),
    );
  }
}
