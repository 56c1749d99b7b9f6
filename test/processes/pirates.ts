/** A Pirate queue, workers and Lazy Pirate clients as processes of their own. */
import type {
  LazyPirateClientOptions,
  ParanoidPirateQueueOptions,
  PirateWorkerOptions,
} from '../../src/index.ts';
import type { Child } from './child.ts';
import {
  HEARTBEATS,
  mostAtOnce,
  Processes,
  told,
  type AskerSettings,
  type HandlerSettings,
  type Outcome,
} from './processes.ts';

/** So that those who lost a queue are back within a test. */
const RECONNECTS = { reconnectInterval: 20, reconnectLimit: 200 };

export interface PirateWorkerSettings extends HandlerSettings {
  /** Where it connects. Default: the queue's backend. */
  readonly endpoint?: string;
  readonly options?: PirateWorkerOptions;
}

export interface PirateClientSettings extends AskerSettings {
  /** Where it connects. Default: the queue's frontend. */
  readonly endpoint?: string;
  readonly options?: LazyPirateClientOptions;
}

/** All processes of one test. They end with it. */
export class Pirates extends Processes {
  readonly protocol: 'simple' | 'paranoid';
  readonly workers: Child[] = [];
  readonly #heartbeats: typeof HEARTBEATS | undefined;
  #frontend: string;
  #backend: string;
  #queue: Child | undefined;

  /** @param heartbeats of the paranoid */
  constructor(
    protocol: 'simple' | 'paranoid',
    heartbeats = HEARTBEATS,
    transport: 'tcp' | 'ipc' = 'tcp',
  ) {
    super();
    this.protocol = protocol;
    this.#heartbeats = protocol === 'paranoid' ? heartbeats : undefined;
    const isTcp = transport === 'tcp';
    this.#frontend = isTcp ? 'tcp://127.0.0.1:*' : `ipc://${this.folder}/frontend`;
    this.#backend = isTcp ? 'tcp://127.0.0.1:*' : `ipc://${this.folder}/backend`;
  }

  /** The queue that was started last. */
  get queue(): Child {
    if (this.#queue === undefined) throw new Error('no queue was started');
    return this.#queue;
  }

  /** Where clients connect. */
  get frontend(): string {
    return this.#frontend;
  }

  /** Where workers connect. */
  get backend(): string {
    return this.#backend;
  }

  /** Starts a queue, and resolves when it is bound; one after the other on the same endpoints. */
  async startQueue(options?: ParanoidPirateQueueOptions): Promise<Child> {
    this.#queue = this.start('pirate-queue', {
      protocol: this.protocol,
      frontend: this.#frontend,
      backend: this.#backend,
      options: { ...this.#heartbeats, ...options },
    });
    const { frontend, backend } = await told(this.#queue, 'bound');
    this.#frontend = String(frontend);
    this.#backend = String(backend);
    return this.#queue;
  }

  /** Starts a worker, and resolves when the queue knows of one more. */
  async startWorker(settings?: PirateWorkerSettings): Promise<Child> {
    const worker = this.launchWorker(settings);
    await told(this.queue, 'workerReady');
    return worker;
  }

  async startWorkers(count: number, settings?: PirateWorkerSettings): Promise<void> {
    for (let index = 0; index < count; index++) this.launchWorker(settings);
    await this.workersReady(count);
  }

  /** Resolves when the queue has come to know so many workers, since what was last waited for. */
  async workersReady(count: number): Promise<void> {
    for (let index = 0; index < count; index++) await told(this.queue, 'workerReady');
  }

  /** Starts a client, which asks at once. */
  startClient(settings?: PirateClientSettings): Child {
    const client = this.start('pirate-client', { endpoint: this.#frontend, ...settings });
    this.clients.push(client);
    return client;
  }

  /** Starts a worker, whether there is a queue or not. */
  launchWorker({ options, ...settings }: PirateWorkerSettings = {}): Child {
    const worker = this.start('pirate-worker', {
      protocol: this.protocol,
      endpoint: this.#backend,
      delay: 20,
      ...settings,
      options: { ...this.#heartbeats, ...RECONNECTS, ...options },
    });
    this.workers.push(worker);
    return worker;
  }

  /** `atOnce`: how many requests a worker had in its hands at most. */
  override async outcome(): Promise<Outcome & { readonly atOnce: number }> {
    const outcome = await super.outcome();
    return { ...outcome, atOnce: Math.max(...this.workers.map(mostAtOnce)) };
  }
}
