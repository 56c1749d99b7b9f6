/** A Majordomo broker, workers and clients as processes of their own. */
import type { BrokerOptions, ClientOptions, Dialect, WorkerOptions } from '../../src/index.ts';
import type { Child } from './child.ts';
import {
  HEARTBEATS,
  Processes,
  told,
  type AskerSettings,
  type HandlerSettings,
} from './processes.ts';

export { allTold, progress, told, toldAnew } from './processes.ts';

export interface WorkerSettings extends Omit<HandlerSettings, 'mode'> {
  /** `stream`: see `roles/worker.js`. */
  readonly mode?: HandlerSettings['mode'] | 'stream';
  readonly options?: WorkerOptions;
}

export interface ClientSettings extends AskerSettings {
  readonly options?: ClientOptions;
}

/** All processes of one test. They end with it. */
export class Cluster extends Processes {
  readonly workers: Child[] = [];
  readonly #dialect: Dialect | undefined;
  #endpoint: string;
  #broker: Child | undefined;

  /** @param dialect what workers and clients speak; default: what they agree on with the broker */
  constructor(transport: 'tcp' | 'ipc' = 'tcp', dialect?: Dialect) {
    super();
    this.#dialect = dialect;
    this.#endpoint = transport === 'tcp' ? 'tcp://127.0.0.1:*' : `ipc://${this.folder}/broker`;
  }

  /** The broker that was started last. */
  get broker(): Child {
    if (this.#broker === undefined) throw new Error('no broker was started');
    return this.#broker;
  }

  /** Where the broker is, or will be. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** Starts a broker, and resolves when it is bound; one after the other on the same endpoint. */
  async startBroker(options?: BrokerOptions): Promise<Child> {
    const settings = { endpoint: this.#endpoint, options: { ...HEARTBEATS, ...options } };
    this.#broker = this.start('broker', settings);
    const { endpoint } = await told(this.#broker, 'bound');
    this.#endpoint = String(endpoint);
    return this.#broker;
  }

  /** Starts a worker, and resolves when the broker has answered it. */
  async startWorker(settings?: WorkerSettings): Promise<Child> {
    const worker = this.launchWorker(settings);
    await told(worker, 'ready');
    return worker;
  }

  /** Starts a worker, whether there is a broker or not. */
  launchWorker({ options, ...settings }: WorkerSettings = {}): Child {
    const worker = this.start('worker', {
      endpoint: this.#endpoint,
      ...settings,
      options: { ...HEARTBEATS, protocol: this.#dialect, ...options },
    });
    this.workers.push(worker);
    return worker;
  }

  async startWorkers(count: number, settings?: WorkerSettings): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.startWorker(settings)));
  }

  /** Starts a client, which asks at once. */
  startClient({ options, ...settings }: ClientSettings = {}): Child {
    const client = this.start('client', {
      endpoint: this.#endpoint,
      ...settings,
      options: { protocol: this.#dialect, ...options },
    });
    this.clients.push(client);
    return client;
  }
}
