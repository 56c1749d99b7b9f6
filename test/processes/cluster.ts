/** A broker, workers and clients as processes of their own, and the history they write together. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { BrokerOptions, ClientOptions, Dialect, WorkerOptions } from '../../src/index.ts';
import { checkHistory, type HistoryEntry, type HistoryReport } from '../../src/testing/history.ts';
import { Child } from './child.ts';

/** Short heartbeats, so that silence is noticed within a test: an expiry is 450 ms. */
const HEARTBEATS = { heartbeatInterval: 150, heartbeatLiveness: 3 };

const ROLES = join(import.meta.dirname, 'roles');

/** What a role program tells: a type, and what belongs to it. */
export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface WorkerSettings {
  /** How a worker works: see `roles/worker.js`. Default: `delay`. */
  readonly mode?: 'delay' | 'hold' | 'block' | 'watch' | 'stream';
  /** Milliseconds that a request takes. Default 10. */
  readonly delay?: number;
  readonly options?: WorkerOptions;
}

export interface ClientSettings {
  /** Default: until `finish`. */
  readonly requests?: number;
  /** Default 4. */
  readonly concurrency?: number;
  readonly options?: ClientOptions;
}

const clusters: Cluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.destroy();
});

/** All processes of one test. They end with it. */
export class Cluster {
  readonly workers: Child[] = [];
  readonly clients: Child[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'uns-'));
  readonly #children: Child[] = [];
  readonly #histories: string[] = [];
  readonly #killed: HistoryEntry[] = [];
  readonly #dialect: Dialect | undefined;
  #endpoint: string;
  #broker: Child | undefined;

  /** @param dialect what workers and clients speak; default: what they agree on with the broker */
  constructor(transport: 'tcp' | 'ipc' = 'tcp', dialect?: Dialect) {
    this.#dialect = dialect;
    this.#endpoint = transport === 'tcp' ? 'tcp://127.0.0.1:*' : `ipc://${this.#folder}/broker`;
    clusters.push(this);
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
    this.#broker = this.#start('broker', settings);
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
    const worker = this.#start('worker', {
      mode: 'delay',
      delay: 10,
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
    const client = this.#start('client', {
      requests: Number.MAX_SAFE_INTEGER,
      concurrency: 4,
      ...settings,
      options: { protocol: this.#dialect, ...options },
    });
    this.clients.push(client);
    return client;
  }

  /** Kills a client; what it had open needs no outcome. */
  async killClient(client: Child): Promise<void> {
    this.#killed.push({ type: 'killed', client: client.name });
    this.clients.splice(this.clients.indexOf(client), 1);
    await client.end('SIGKILL');
  }

  /** Lets every client finish what it has begun, waits until all have ended, and judges. */
  async finish(): Promise<HistoryReport> {
    for (const client of this.clients) client.write('stop');
    for (const { ended, name, errors } of this.clients) {
      const { code } = await ended;
      if (code !== 0) throw new Error(`${name} ended with ${code}: ${errors}`);
    }
    return checkHistory([...this.#histories.flatMap(readHistory), ...this.#killed]);
  }

  async destroy(): Promise<void> {
    const alive = this.#children.filter((child) => child.ending === undefined);
    await Promise.all(alive.map((child) => child.end('SIGKILL')));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #start(role: 'broker' | 'worker' | 'client', settings: object): Child {
    const name = `${role}-${this.#children.length}`;
    const history = join(this.#folder, `${name}.jsonl`);
    const all = JSON.stringify({ name, history, endpoint: this.#endpoint, ...settings });
    const child = new Child(name, process.execPath, [join(ROLES, `${role}.js`), all]);
    this.#children.push(child);
    if (role !== 'broker') this.#histories.push(history);
    return child;
  }
}

/** The next message of this type, among those not yet passed over. */
export async function told(child: Child, type: string): Promise<Message> {
  return parse(await child.line(new RegExp(`"type":"${type}"`)));
}

/** All messages of this type that a process has told so far. */
export function allTold(child: Child, type: string): Message[] {
  return child.lines.map(parse).filter((message) => message.type === type);
}

function parse(line: string): Message {
  return JSON.parse(line);
}

function readHistory(path: string): HistoryEntry[] {
  // A process that was killed before its first entry has no file.
  const text = readFileSync(path, { encoding: 'utf8', flag: 'a+' });
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line): HistoryEntry => JSON.parse(line));
}
