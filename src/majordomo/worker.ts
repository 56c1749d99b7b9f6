/** The Majordomo worker: offers one service, and runs a handler for each request. */
import { framesOf, type Body } from '../core/body.ts';
import { ClosedError, InvalidArgumentError, NotReadyError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { completeOptions, milliseconds } from '../core/options.ts';
import { drainAndClose, signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import type { WorkerInput, WorkerOutput } from './commands.ts';
import { isReserved, RESERVED_PREFIX } from './mmi.ts';
import { workerRules, type WorkerOptions } from './options.ts';
import { Payload } from './payload.ts';
import { workerCodec } from './protocol.ts';
import { checkService } from './service-name.ts';
import {
  WorkerMachine,
  type HandlerToken,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
  type WorkerSettings,
} from './worker-machine.ts';

/** One request, as the handler sees it. */
export class WorkerRequest extends Payload {
  /** Aborts when the reply can reach no one any more: the session with the broker ended. */
  readonly signal: AbortSignal;
  readonly #write: (body: Frames) => void;

  constructor(body: Frames, abort: AbortSignal, write: (body: Frames) => void) {
    super(body);
    this.signal = abort;
    this.#write = write;
  }

  /**
   * Sends a part of the reply; `client.stream()` sees each one as it comes. After the first, the
   * request is not given to another worker if this one dies.
   * @throws InvalidArgumentError `ERR_INVALID_BODY`
   */
  write(part: Body): void {
    this.#write(framesOf(part));
  }
}

/** Returns the reply, or nothing for an empty one. Throwing is an error reply, not a crash. */
export type WorkerHandler = (request: WorkerRequest) => Body | void | Promise<Body | void>;

type WorkerDriver = Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>;

/** One session with the broker. */
interface Slot {
  readonly driver: WorkerDriver;
  readonly ready: { readonly promise: Promise<void>; readonly fire: () => void };
  readonly drained: { readonly promise: Promise<void>; readonly fire: () => void };
  readonly running: Map<HandlerToken, AbortController>;
}

/**
 * Offers one service to a broker.
 *
 * ```js
 * const worker = new MajordomoWorker('upper', (request) => request.text().toUpperCase());
 * worker.connect('tcp://127.0.0.1:5555');
 * await worker.ready();
 * ```
 *
 * It reconnects by itself, for ever. A handler that blocks the event loop for longer than the
 * broker's expiry makes the worker look dead: compute in a worker thread, or raise the expiry.
 */
export class MajordomoWorker extends EventSource<WorkerEvent> {
  /** The service it offers. */
  readonly service: string;
  readonly #handler: WorkerHandler;
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #slots: readonly Slot[];
  readonly #endpoints: string[] = [];
  readonly #closed = signal();
  #closing: Promise<void> | undefined;

  /**
   * @param service 1 to 255 bytes of UTF-8, not beginning with `mmi.`
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(
    service: string,
    handler: WorkerHandler,
    options?: WorkerOptions,
    environment: Environment = systemEnvironment(),
  ) {
    const { logger, drainTimeout, peerQueueBytes, concurrency, ...settings } = completeOptions(
      'MajordomoWorker',
      workerRules,
      options,
    );
    super(logger, {
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
    this.#handler = handler;
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    const { random } = environment;
    this.#slots = Array.from({ length: concurrency }, () =>
      this.#createSlot({ ...settings, service, random }, peerQueueBytes),
    );
  }

  /** How many handlers run now. */
  get running(): number {
    return this.#slots.reduce((sum, slot) => sum + slot.running.size, 0);
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
    for (const { driver } of this.#slots) driver.call({ type: 'connect', endpoints: checked });
  }

  /**
   * Resolves when the broker has answered; with `concurrency`, to each session.
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
    const all = Promise.all(this.#slots.map((slot) => slot.ready.promise));
    const giveUp = signal();
    const cancel = clock.wakeAt(clock.now() + timeout, giveUp.fire);
    const outcome = await Promise.race([
      all.then(() => 'ready'),
      giveUp.promise.then(() => 'late'),
      this.#closed.promise.then(() => 'closed'),
    ]);
    cancel();
    if (outcome === 'closed') throw new ClosedError('this worker');
    if (outcome === 'late') throw new NotReadyError(this.#endpoints, timeout);
  }

  /**
   * Lets what runs finish within `drainTimeout`, tells the broker goodbye, and frees all resources.
   * What runs longer is aborted through its signal.
   */
  close(): Promise<void> {
    this.#closed.fire();
    this.#closing ??= Promise.all(
      this.#slots.map(({ driver, drained }) =>
        drainAndClose(driver, this.#environment.clock, this.#drainTimeout, drained.promise),
      ),
    ).then(() => undefined);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #createSlot(settings: WorkerSettings, peerQueueBytes: number): Slot {
    const { transport, clock } = this.#environment;
    const slot: Slot = {
      ready: signal(),
      drained: signal(),
      running: new Map(),
      driver: new Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>({
        machine: (outbox) => new WorkerMachine(outbox, settings),
        codec: workerCodec,
        kindOf: () => 'dealer',
        transport,
        clock,
        peerQueueBytes,
        onEvent: (event) => this.#handleEvent(slot, event),
        onSocketError: (error) => this.announce({ type: 'socketFailed', reason: String(error) }),
      }),
    };
    return slot;
  }

  #handleEvent(slot: Slot, event: WorkerEvent): void {
    if (event.type === 'ready') slot.ready.fire();
    else if (event.type === 'drained') slot.drained.fire();
    else if (event.type === 'requestLost') slot.running.get(event.token)?.abort();
    else if (event.type === 'request') void this.#handle(slot, event.token, event.body);
    this.announce(event);
  }

  async #handle(slot: Slot, token: HandlerToken, body: Frames): Promise<void> {
    const abort = new AbortController();
    slot.running.set(token, abort);
    const { driver } = slot;
    const write = (part: Frames): void => driver.call({ type: 'write', token, body: part });
    try {
      const result = await this.#handler(new WorkerRequest(body, abort.signal, write));
      driver.call({ type: 'reply', token, body: framesOf(result ?? []) });
    } catch (error) {
      const message = messageOf(error);
      driver.call({ type: 'fail', token, failure: { code: 'ERR_HANDLER_FAILED', message } });
    } finally {
      slot.running.delete(token);
    }
  }
}

/** Anything can be thrown, even what cannot be turned into text. */
function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'the handler threw something that has no text';
  }
}
