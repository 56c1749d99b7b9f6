/** A Majordomo broker, workers, clients and a Titanic as processes of their own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BrokerOptions } from '../../src/index.ts';
import {
  checkTitanicHistory,
  type TitanicHistoryEntry,
  type TitanicHistoryReport,
} from '../../src/testing/titanic-history.ts';
import type { TitanicClientOptions, TitanicOptions } from '../../src/titanic/index.ts';
import type { Child } from './child.ts';
import { HEARTBEATS, Processes, readHistory, told } from './processes.ts';

/** So that nothing waits longer than a test can: each is tried again at once, as often as it takes. */
const TITANIC = { ...HEARTBEATS, absence: 20, absenceLimit: 200, backoff: 20 };
const CLIENT = {
  ...HEARTBEATS,
  timeout: 25_000,
  attemptTimeout: 2000,
  backoff: 20,
  backoffLimit: 200,
};

/** Nothing that a test does to a Titanic is to write much, but where it says so. */
const STORAGE = { ballastBytes: 65_536 };

export interface TitanicSettings {
  /** Default: where the broker of this test is. */
  readonly endpoint?: string;
  /** Default: a folder of this test, the same each time. */
  readonly directory?: string;
  /** The events that it tells. */
  readonly tells?: readonly string[];
  readonly options?: TitanicOptions;
}

/** All processes of one test. They end with it. */
export class Titanics extends Processes {
  readonly workers: Child[] = [];
  readonly #disturbances: TitanicHistoryEntry[] = [];
  #endpoint = 'tcp://127.0.0.1:*';
  #broker: Child | undefined;

  /** Where the broker is, or will be. */
  get endpoint(): string {
    return this.#endpoint;
  }

  /** The broker that was started last. */
  get broker(): Child {
    if (this.#broker === undefined) throw new Error('no broker was started');
    return this.#broker;
  }

  /** A path in a folder that is gone after the test. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** A folder of its own. */
  newFolder(name: string): string {
    mkdirSync(this.path(name));
    return this.path(name);
  }

  /** Starts a broker, and resolves when it is bound; one after the other on the same endpoint. */
  async startBroker(options?: BrokerOptions): Promise<Child> {
    const settings = { endpoint: this.#endpoint, options: { ...HEARTBEATS, ...options } };
    this.#broker = this.start('broker', settings);
    this.#endpoint = String((await told(this.#broker, 'bound'))['endpoint']);
    return this.#broker;
  }

  /** Starts a Titanic, and resolves when all its services are offered. */
  async startTitanic(settings?: TitanicSettings): Promise<Child> {
    const titanic = this.launchTitanic(settings);
    await told(titanic, 'ready');
    return titanic;
  }

  /** Starts a Titanic, also as the last arguments of another command, such as strace. */
  launchTitanic(
    { options, endpoint, directory, tells }: TitanicSettings = {},
    under: readonly string[] = [],
  ): Child {
    return this.startUnder(under, 'titanic', {
      endpoint: endpoint ?? this.#endpoint,
      directory: directory ?? this.path('store'),
      tells,
      options: { ...TITANIC, ...options, storage: { ...STORAGE, ...options?.storage } },
    });
  }

  /** Starts a worker of the service `digest`, whether there is a broker or not. */
  launchWorker(): Child {
    const settings = { endpoint: this.#endpoint, options: HEARTBEATS };
    const worker = this.start('titanic-worker', settings);
    this.workers.push(worker);
    return worker;
  }

  async startWorker(): Promise<Child> {
    const worker = this.launchWorker();
    await told(worker, 'ready');
    return worker;
  }

  /** Starts a client, which asks at once, and until `audit`. */
  startClient(options?: TitanicClientOptions): Child {
    const settings = { endpoint: this.#endpoint, options: { ...CLIENT, ...options } };
    const client = this.start('titanic-client', settings);
    this.clients.push(client);
    return client;
  }

  /** Kills a process, or stops it: from now on an attempt may be repeated. */
  async disturb(child: Child, signal: 'SIGKILL' | 'SIGSTOP' = 'SIGKILL'): Promise<void> {
    this.#disturbances.push({ type: 'killed', at: now(), name: child.name });
    if (signal === 'SIGKILL') await child.end(signal);
    else child.signal(signal);
  }

  /** Lets all clients end, fetches what they left open, and judges what all have written down. */
  async audit(): Promise<TitanicHistoryReport> {
    for (const client of this.clients) client.write('stop');
    await allEnd(this.clients);
    const { histories } = this;
    const settings = { endpoint: this.#endpoint, options: CLIENT, histories };
    await allEnd([this.start('titanic-auditor', settings)]);
    const entries = this.histories.flatMap((path) => readHistory<TitanicHistoryEntry>(path));
    return checkTitanicHistory([...entries, ...this.#disturbances]);
  }
}

/** Milliseconds of the clock that all processes of a machine share. */
function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

async function allEnd(children: readonly Child[]): Promise<void> {
  for (const { ended, name, errors } of children) {
    const { code } = await ended;
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${errors}`);
  }
}
