/** The Titanic: a worker to its clients, a client to services, and a storage in between, 9/TSP. */
import type { StorageBatch, StorageState } from '../core/batch.ts';
import { messageOf, type Codec } from '../core/codec.ts';
import { ClosedError, InvalidArgumentError } from '../core/errors.ts';
import { encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import { completeOptions, such, type Completed, type Rules } from '../core/options.ts';
import {
  MajordomoClient,
  MajordomoWorker,
  type Dialect,
  type WorkerRequest,
} from '../majordomo/index.ts';
import {
  openStorage,
  type Engine,
  type OpenStorageOptions,
  type Storage,
  type StorageStatus,
} from '../storage/index.ts';
import { signal } from '../transport/closing.ts';
import { Driver } from '../transport/driver.ts';
import { checkEndpoint } from '../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../transport/environment.ts';
import { EventSource } from '../transport/event-source.ts';
import type { Clock } from '../transport/transport.ts';
import type { TitanicMachineStatus } from './admin-view.ts';
import { TITANIC_SERVICES, type TitanicService } from './commands.ts';
import { Executions } from './executions.ts';
import { titanicRules, type TitanicOptions } from './options.ts';
import { Questions } from './questions.ts';
import { Recovery } from './recovery.ts';
import { RivalWatch } from './rival-watch.ts';
import { bodyIn, type ReadBody } from './stored-body.ts';
import type { TitanicCall, TitanicEvent, TitanicMachineEvent } from './titanic-events.ts';
import { TitanicMachine } from './titanic-machine.ts';

export interface TitanicServerOptions extends TitanicOptions {
  /** Of the storage in the directory. Default: those of `openStorage`. */
  readonly storage?: Omit<OpenStorageOptions, 'format'> | undefined;
}

const rules = {
  ...titanicRules,
  storage: such<TitanicServerOptions['storage']>(
    undefined,
    'an object of options of the storage',
    (value) => typeof value === 'object' && value !== null,
  ),
} satisfies Rules<TitanicServerOptions>;

/** What a Titanic tells beside the fate of its requests. */
export type TitanicServerEvent =
  | TitanicEvent
  /** A broker answers: requests are taken, and executed. */
  | { readonly type: 'brokerFound'; readonly endpoint: string }
  | { readonly type: 'brokerLost'; readonly endpoint: string; readonly reason: string }
  /** Other Titanics serve the same broker: each is asked for requests that only another one knows. */
  | { readonly type: 'rivalFound'; readonly titanics: number }
  | { readonly type: 'storageChanged'; readonly state: StorageState; readonly reason: string }
  /** A socket could not be opened: too many are open in this process. It is tried again. */
  | { readonly type: 'socketFailed'; readonly reason: string };

/** What a Titanic has, and does. */
export interface TitanicStatus extends TitanicMachineStatus {
  readonly storage: StorageStatus;
  /** True while a broker is there. */
  readonly isConnected: boolean;
}

/** What makes the records in a storage a Titanic's. */
const FORMAT = { name: 'titanic', version: 1 };

/** Questions of one service at a time, beside those that wait: these are bounded by `waiterLimit`. */
const CONCURRENCY = 1024;

/** Questions that wait, at most: a broker counts them in 32 bits. */
const POLLS = 1_000_000;

/** The same over stock MDP, where each has a socket of its own. */
const LANES = { poll: 32, other: 8 };

/** The machine has no sockets: it asks its shell. */
const NO_WIRE: Codec<never, never> = { decode: () => 'no wire', encode: () => messageOf([]) };

/**
 * Takes requests for services, makes them durable, sees to it that they are done, and keeps the replies.
 *
 * ```js
 * const titanic = await Titanic.open('./titanic-store');
 * titanic.connect('tcp://127.0.0.1:5555');
 * await titanic.ready();
 * ```
 *
 * A request that was acknowledged survives whatever crashes, this process among it: it is executed at
 * least once, until it is done, dead or closed. One Titanic at a time has a directory.
 */
export class Titanic extends EventSource<TitanicServerEvent> {
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #storage: Storage;
  readonly #driver: Driver<never, never, never, TitanicCall, TitanicMachineEvent>;
  readonly #questions: Questions;
  readonly #executions: Executions;
  readonly #workers: readonly MajordomoWorker[];
  readonly #client: MajordomoClient;
  readonly #rivals: RivalWatch;
  readonly #drained = signal();
  /** Workers that a broker has answered. */
  readonly #linked = new Set<MajordomoWorker>();
  #machine!: TitanicMachine;
  #closing: Promise<void> | undefined;

  /**
   * Opens what is stored in a directory, which is created if it is missing, or on an engine; reads all of it,
   * and goes on where the last Titanic stopped.
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming what is wrong
   * @throws StorageError `ERR_STORAGE_IN_USE`, `ERR_STORAGE_UNAVAILABLE`, `ERR_STORAGE_CORRUPT`,
   *   `ERR_STORAGE_VERSION`, `ERR_STORAGE_FULL`, each saying what to do
   */
  static async open(
    place: string | Engine,
    options?: TitanicServerOptions,
    environment: Environment = systemEnvironment(),
  ): Promise<Titanic> {
    const { storage: storageOptions, ...settings } = completeOptions('Titanic', rules, options);
    checkPlace(place);
    const recovery = new Recovery();
    // Nothing is written before the Titanic is there, so that there is nothing to miss.
    let titanic: Titanic | undefined;
    const storage = await openStorage(
      place,
      { ...storageOptions, format: FORMAT },
      {
        each: (key, frames) => recovery.add(key, frames),
        onState: (state, reason) => {
          if (titanic !== undefined) titanic.#followStorage(state, reason);
        },
      },
    );
    const { quarantined, accepted } = storage.status();
    for (const key of quarantined) recovery.unreadable(key, 'it fails its checksum');
    try {
      titanic = new Titanic(storage, recovery, settings, environment);
    } catch (error) {
      // Otherwise nobody could, and it would be in use.
      await new Promise<void>((resolve) => storage.close(resolve));
      throw error;
    }
    if (accepted.length > 0) titanic.#tellDamage(accepted);
    return titanic;
  }

  private constructor(
    storage: Storage,
    recovery: Recovery,
    options: Completed<typeof titanicRules>,
    environment: Environment,
  ) {
    super(options.logger, {
      brokerFound: 'info',
      brokerLost: 'warn',
      deadLetter: 'warn',
      recordUnreadable: 'error',
      recovered: 'info',
      rivalFound: 'error',
      serviceAbsent: 'warn',
      serviceFound: 'info',
      socketFailed: 'error',
      storageChanged: 'warn',
      storeFailed: 'error',
    });
    this.#environment = environment;
    this.#drainTimeout = options.drainTimeout;
    this.#storage = storage;
    const tell = (call: TitanicCall): void => this.#driver.call(call);
    const read: ReadBody = (key, done) =>
      storage.read(key, (error, value) => done(bodyIn(error, value)));
    this.#client = this.#makeClient(options);
    this.#workers = TITANIC_SERVICES.map((service) => this.#makeWorker(service, options));
    this.#rivals = new RivalWatch({
      client: this.#client,
      clock: environment.clock,
      interval: options.heartbeatInterval * options.heartbeatLiveness * 2,
      found: (titanics) => this.announce({ type: 'rivalFound', titanics }),
    });
    this.#executions = new Executions({ client: this.#client, read, tell });
    this.#questions = new Questions(
      {
        read,
        tell,
        refused: (code, reason) => this.announce({ type: 'requestRefused', code, reason }),
        overview: () => ({ status: 200, body: [encodeText(JSON.stringify(this.status()))] }),
      },
      options,
    );
    this.#driver = this.#makeDriver(recovery, options);
  }

  /**
   * Starts connecting to a broker; of several the others are for when it is lost.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    if (this.#closing !== undefined) throw new ClosedError('this Titanic');
    const checked = [endpoints].flat().map((endpoint) => checkEndpoint(endpoint, 'connect'));
    this.#client.connect(checked);
    for (const worker of this.#workers) worker.connect(checked);
  }

  /**
   * Resolves when a broker has answered: requests may come.
   * @param options.timeout milliseconds, default 10,000
   * @throws NotReadyError `ERR_NOT_READY` with a hint, when none did in time
   * @throws ClosedError also when it is closed meanwhile
   */
  async ready(options?: { readonly timeout?: number }): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.ready(options)));
  }

  /** What it has, and does. */
  status(): TitanicStatus {
    return {
      ...this.#machine.status(),
      storage: this.#storage.status(),
      isConnected: this.#linked.size > 0,
    };
  }

  /**
   * Takes nothing new, answers those who wait that their requests are pending, lets what runs finish within
   * `drainTimeout`, and closes the storage, which finishes what it is writing. What runs longer is
   * cancelled; the next Titanic on this storage runs it again.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { clock } = this.#environment;
    const giveUp = clock.wakeAt(clock.now() + this.#drainTimeout, () =>
      this.#driver.call({ type: 'stop' }),
    );
    this.#rivals.stop();
    this.#questions.endPolls();
    this.#driver.call({ type: 'drain' });
    // Before that they may still be asked, and have to answer.
    await Promise.all([this.#drained.promise, ...this.#workers.map((worker) => worker.close())]);
    giveUp();
    await new Promise<void>((resolve) => this.#driver.close(resolve));
    await this.#client.close();
    await new Promise<void>((resolve) => this.#storage.close(resolve));
  }

  #makeClient(options: Completed<typeof titanicRules>): MajordomoClient {
    const { protocol, heartbeatInterval, heartbeatLiveness, peerQueueBytes } = options;
    const client = new MajordomoClient(
      {
        protocol,
        heartbeatInterval,
        heartbeatLiveness,
        peerQueueBytes,
        drainTimeout: 0,
        // What runs is bounded for each service, and what waits is on the disk.
        inFlightLimit: 65_536,
        queueLimit: 1_000_000,
        queueBytes: options.pendingBytes,
      },
      this.#environment,
    );
    client.on('socketFailed', (event) => this.announce(event));
    return client;
  }

  #makeWorker(service: TitanicService, options: Completed<typeof titanicRules>): MajordomoWorker {
    const { protocol, heartbeatInterval, heartbeatLiveness, peerQueueBytes, drainTimeout } =
      options;
    const isPoll = service === 'titanic.fetch';
    const worker = new MajordomoWorker(
      service,
      (request) => this.#ask(service, request),
      {
        protocol,
        heartbeatInterval,
        heartbeatLiveness,
        peerQueueBytes,
        drainTimeout,
        concurrency: isPoll ? Math.min(options.waiterLimit, POLLS) + CONCURRENCY : CONCURRENCY,
        lanes: isPoll ? LANES.poll : LANES.other,
      },
      this.#environment,
    );
    worker.on('ready', ({ endpoint, dialect }) => this.#link(worker, endpoint, dialect));
    worker.on('brokerLost', ({ endpoint, reason }) => this.#unlink(worker, endpoint, reason));
    worker.on('socketFailed', (event) => this.announce(event));
    return worker;
  }

  #makeDriver(
    recovery: Recovery,
    options: Completed<typeof titanicRules>,
  ): Driver<never, never, never, TitanicCall, TitanicMachineEvent> {
    const { clock, random, transport } = this.#environment;
    const settings = { ...options, random, newId, wallClock: wallClockOf(clock) };
    return new Driver<never, never, never, TitanicCall, TitanicMachineEvent>({
      machine: (outbox) => (this.#machine = new TitanicMachine(outbox, settings, recovery)),
      codec: NO_WIRE,
      kindOf: () => 'dealer',
      transport,
      clock,
      peerQueueBytes: options.peerQueueBytes,
      // The machine stores nothing else.
      store: (batch, done) => this.#storage.write(batch as StorageBatch, done),
      onEvent: (event) => this.#handleEvent(event),
    });
  }

  #handleEvent(event: TitanicMachineEvent): void {
    switch (event.type) {
      case 'answer':
        return this.#questions.answer(event.token, event.answer);
      case 'answerStored':
        return this.#questions.answerStored(event);
      case 'execute':
        return void this.#executions.run(event);
      case 'abandon':
        return this.#executions.abandon(event.execution);
      case 'drained':
        return this.#drained.fire();
      default:
        return this.announce(event);
    }
  }

  #ask(service: TitanicService, request: WorkerRequest): Promise<Frames> {
    return new Promise((resolve) => {
      const withdraw = this.#questions.ask(service, request.body, resolve);
      if (withdraw === undefined) return;
      request.signal.addEventListener('abort', withdraw, { once: true });
    });
  }

  /** Whoever accepts damage, or left that in a configuration, shall read of it in the log. */
  #tellDamage(accepted: readonly string[]): void {
    const reason = `damage was accepted: ${accepted.join('; ')}`;
    this.announce({ type: 'storageChanged', state: this.#storage.state, reason });
  }

  #followStorage(state: StorageState, reason: string): void {
    this.#driver.call({ type: 'storage', state });
    if (state !== 'closed') this.announce({ type: 'storageChanged', state, reason });
  }

  #link(worker: MajordomoWorker, endpoint: string, dialect: Dialect): void {
    const isFirst = this.#linked.size === 0;
    this.#linked.add(worker);
    if (!isFirst) return;
    this.announce({ type: 'brokerFound', endpoint });
    // Stock brokers do not say who else is there.
    if (dialect === 'express') this.#rivals.start();
    this.#driver.call({ type: 'link', isUp: true });
  }

  #unlink(worker: MajordomoWorker, endpoint: string, reason: string): void {
    if (!this.#linked.delete(worker) || this.#linked.size > 0) return;
    this.#rivals.stop();
    this.#driver.call({ type: 'link', isUp: false });
    this.announce({ type: 'brokerLost', endpoint, reason });
  }
}

function newId(): string {
  return crypto.randomUUID().replaceAll('-', '');
}

/** Looks at both clocks, for a few milliseconds. */
const CLOCK_SAMPLES = 2000;

/**
 * What the wall clock shows more than the other one, in milliseconds. One look may be off by what the wall
 * clock cuts off, and by a pause between the two: both make it too small, so the largest is right.
 */
function wallClockOf(clock: Clock): number {
  let difference = -Infinity;
  for (let sample = 0; sample < CLOCK_SAMPLES; sample++) {
    difference = Math.max(difference, Date.now() - clock.now());
  }
  return difference;
}

/** @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` unless something can be stored there */
function checkPlace(place: unknown): void {
  if (typeof place === 'string' && place !== '') return;
  if (typeof place === 'object' && place !== null && 'commit' in place) return;
  const message = 'Titanic.open: where to store is a directory, or an Engine';
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}
