/** The Majordomo worker: offers one service, and runs a handler for each request. */
import type { Body } from '../../core/body.ts';
import { ClosedError, InvalidArgumentError, NotReadyError } from '../../core/errors.ts';
import type { Frames } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { completeOptions, milliseconds } from '../../core/options.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import { bodyCodecs, type BodyCodec, type CodecName } from '../wire/body-codec.ts';
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
  readonly #handler: ValueHandler;
  readonly #codec: BodyCodec;
  readonly #host: RequestHost;
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #concurrency: number;
  readonly #hasBeacon: boolean;
  readonly #driver: WorkerDriver;
  readonly #endpoints: string[] = [];
  /** Those whose handlers returned a promise. */
  readonly #running = new NumberMap<WorkerRequest>();
  /** A handler is being called right now. */
  #isCalling = false;
  /** Sessions of stock MDP that were answered. */
  readonly #answered = new Set<number>();
  readonly #ready = signal();
  readonly #drained = signal();
  readonly #closed = signal();
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
      malformed: 'warn',
      ready: 'info',
      replyDropped: 'warn',
      socketFailed: 'error',
    });
    this.service = checkService(service);
    if (isReserved(service)) {
      const message = `names under '${RESERVED_PREFIX}' are the broker's own: choose another service name`;
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    if (typeof handler !== 'function') {
      const message = `MajordomoWorker: the handler must be a function, not ${typeof handler}`;
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    const { random, transport, clock } = environment;
    this.#handler = handler;
    this.#codec = bodyCodecs[codec];
    this.#host = {
      codec: this.#codec,
      clock,
      write: (token, body) => this.#driver.call({ type: 'write', token, body }),
      malformed: (reason) => this.announce({ type: 'malformed', reason }),
    };
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    this.#concurrency = settings.concurrency;
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
    return this.#running.size + (this.#isCalling ? 1 : 0);
  }

  /**
   * Starts connecting, to the first endpoint that answers; the others are for when it is lost.
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
   * Resolves when the broker has answered; a stock broker, with `concurrency`, to each session.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when nobody did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async ready(options?: { readonly timeout?: number }): Promise<void> {
    const rules = { timeout: milliseconds(10_000) };
    const { timeout } = completeOptions('ready', rules, options);
    const { clock } = this.#environment;
    if (this.#closing !== undefined) throw new ClosedError('this worker');
    if (this.#endpoints.length === 0) throw new NotReadyError([], timeout);
    const giveUp = signal();
    const cancel = clock.wakeAt(clock.now() + timeout, giveUp.fire);
    const outcome = await Promise.race([
      this.#ready.promise.then(() => 'ready'),
      giveUp.promise.then(() => 'late'),
      this.#closed.promise.then(() => 'closed'),
    ]);
    cancel();
    if (outcome === 'closed') throw new ClosedError('this worker');
    if (outcome === 'late') throw new NotReadyError(this.#endpoints, timeout);
  }

  /**
   * Takes nothing new and hands back what was on its way, lets what runs finish within `drainTimeout`,
   * tells the broker goodbye, and frees all resources. What runs longer is aborted through its signal.
   */
  close(): Promise<void> {
    this.#closed.fire();
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
        return this.#handle(event);
      case 'written': {
        const request = this.#running.get(event.token);
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
        if (event.dialect === 'express' || this.#answered.size === this.#concurrency) {
          this.#ready.fire();
        }
        break;
      case 'drained':
        this.#drained.fire();
        break;
      default:
    }
    this.announce(event);
  }

  #abort(token: HandlerToken, reason: CancelReason | undefined): void {
    const request = this.#running.get(token);
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

  // Requests. Handlers that return no promise are done with at once, and at the least expense.

  #handle(event: Extract<WorkerEvent, { readonly type: 'request' }>): void {
    const { token } = event;
    const request = new WorkerRequest(event, this.#host);
    let result: unknown;
    this.#isCalling = true;
    try {
      result = this.#handler(request);
    } catch (error) {
      return this.#fail(token, request, error);
    } finally {
      this.#isCalling = false;
    }
    if (!isThenable(result)) return this.#reply(token, request, result);
    this.#running.set(token, request);
    Promise.resolve(result).then(
      (value) => this.#reply(token, request, value),
      (error: unknown) => this.#fail(token, request, error),
    );
  }

  #reply(token: HandlerToken, request: WorkerRequest, result: unknown): void {
    let body: Frames;
    try {
      body = this.#codec.encode(this.#codec.name === 'bytes' ? (result ?? []) : result);
    } catch (error) {
      return this.#fail(token, request, error);
    }
    this.#settle(token, request);
    this.#driver.call({ type: 'reply', token, body });
  }

  #fail(token: HandlerToken, request: WorkerRequest, error: unknown): void {
    this.#settle(token, request);
    const failure = { code: 'ERR_HANDLER_FAILED', message: messageOf(error) } as const;
    this.#driver.call({ type: 'fail', token, failure });
  }

  #settle(token: HandlerToken, request: WorkerRequest): void {
    this.#running.delete(token);
    settleRequest(request);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return 'then' in value && typeof value.then === 'function';
}

/** Anything can be thrown, even what cannot be turned into text. */
function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'the handler threw something that has no text';
  }
}
