/**
 * A broker, workers and clients in one process, each worker and client behind a chaos proxy of its own.
 *
 * The one idea: links break here, and nothing else does. So all that was asked can be judged when they
 * are healed: by the history of the requests, by the broker's own books, and by what is left open.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, vi } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  RequestError,
  type BrokerEvent,
  type BrokerOptions,
  type ClientEvent,
  type ClientOptions,
  type Dialect,
  type WorkerEvent,
  type WorkerHandler,
  type WorkerOptions,
} from '../../src/index.ts';
import { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { checkHistory, type HistoryEntry, type HistoryReport } from '../../src/testing/history.ts';
import { requireThat } from '../../src/testing/violation.ts';
import { systemClock } from '../../src/transport/system-clock.ts';
import { zeromqTransport, type ZeromqOptions } from '../../src/transport/zeromq.ts';

/** Short, so that silence is noticed within a test: an expiry is 240 ms. */
export const HEARTBEATS = { heartbeatInterval: 80, heartbeatLiveness: 3 };

/** No test exhausts its attempts. */
const BROKER = { ...HEARTBEATS, attemptTimeout: 500, maxAttempts: 100, requestTtl: 10_000 };
const WORKER = { ...HEARTBEATS, reconnectInterval: 10, reconnectLimit: 100 };
/** Tries follow each other until the one deadline; no test comes near it. */
const CLIENT = {
  timeout: 20_000,
  attemptTimeout: 500,
  retries: 100,
  backoff: 10,
  backoffLimit: 100,
  lanes: 4,
};

/** What every shell of these tests is: one side of a link, with its proxy and what it has told. */
interface Linked<Shell, Event> {
  readonly name: string;
  readonly shell: Shell;
  readonly proxy: ChaosProxy;
  readonly told: Event[];
}

export type LinkedWorker = Linked<MajordomoWorker, WorkerEvent>;
export type LinkedClient = Linked<MajordomoClient, ClientEvent>;

export interface LinksOptions {
  readonly seed?: number;
  /** What workers and clients speak. Default: what they agree on with our broker, which is express. */
  readonly dialect?: Dialect;
  readonly broker?: BrokerOptions;
  readonly worker?: WorkerOptions;
  readonly client?: ClientOptions;
  /** Of the sockets of everybody. */
  readonly transport?: ZeromqOptions;
}

/** Polls until `condition` holds. @throws after 10 s, or `timeout` milliseconds */
export async function until(condition: () => boolean, timeout = 10_000): Promise<void> {
  await vi.waitUntil(condition, { interval: 2, timeout });
}

/** Lets the event loop go round once. */
export async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

const open: Links[] = [];
let before: Record<string, number>;

beforeEach(async () => {
  // zeromq's own threads start with the first socket, and stay.
  const first = new MajordomoBroker();
  await first.bind('inproc://first');
  await first.close();
  await settled();
  before = openHandles();
});

afterEach(async () => {
  for (const links of open.splice(0)) await links.close();
  await until(() => isDeepStrictEqual(openHandles(), before));
});

/** All shells of one test. They are closed with it. */
export class Links {
  readonly broker: MajordomoBroker;
  readonly workers: LinkedWorker[] = [];
  readonly clients: LinkedClient[] = [];
  readonly history: HistoryEntry[] = [];
  /** What the broker told. */
  readonly told: BrokerEvent[] = [];
  readonly random: () => number;
  readonly #options: LinksOptions;
  readonly #environment;
  #isClosing = false;

  /** Resolves when the broker is bound. */
  static async open(options: LinksOptions = {}): Promise<Links> {
    const links = new Links(options);
    await links.broker.bind('tcp://127.0.0.1:*');
    return links;
  }

  private constructor(options: LinksOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed ?? 1);
    const transport = zeromqTransport(options.transport);
    this.#environment = { transport, clock: systemClock, random: this.random };
    this.broker = new MajordomoBroker({ ...BROKER, ...options.broker }, this.#environment);
    this.broker.on('event', (event) => this.told.push(event));
    open.push(this);
  }

  /** True once nothing more is to be asked. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  /** The proxies of everybody. */
  get proxies(): ChaosProxy[] {
    return [...this.workers, ...this.clients].map(({ proxy }) => proxy);
  }

  /** A worker, ready. Default: of the service `echo`, whose handler `traffic` expects. */
  async startWorker(handler?: WorkerHandler, service = 'echo'): Promise<LinkedWorker> {
    const name = `worker-${this.workers.length}`;
    const shell = new MajordomoWorker(
      service,
      handler ?? ((request) => this.#echo(name, request.body)),
      { ...WORKER, protocol: this.#options.dialect, ...this.#options.worker },
      this.#environment,
    );
    const worker = { name, shell, proxy: await this.#openProxy(), told: [] as WorkerEvent[] };
    this.workers.push(worker);
    shell.on('event', (event) => worker.told.push(event));
    shell.connect(`tcp://127.0.0.1:${worker.proxy.port}`);
    await shell.ready();
    return worker;
  }

  /** A client, connected. */
  async startClient(options?: ClientOptions): Promise<LinkedClient> {
    const shell = new MajordomoClient(
      { ...CLIENT, protocol: this.#options.dialect, ...this.#options.client, ...options },
      this.#environment,
    );
    const name = `client-${this.clients.length}`;
    const client = { name, shell, proxy: await this.#openProxy(), told: [] as ClientEvent[] };
    this.clients.push(client);
    shell.on('event', (event) => client.told.push(event));
    shell.connect(`tcp://127.0.0.1:${client.proxy.port}`);
    return client;
  }

  /** One request to `echo` with `bytes` random bytes, written into the history. Never rejects. */
  async ask(client: LinkedClient, bytes: number): Promise<void> {
    const { name, shell } = client;
    const id = `${name}:${this.history.length}`;
    const payload = randomBytes(bytes);
    this.history.push({ type: 'requested', id, client: name });
    try {
      const { body } = await shell.request('echo', [JSON.stringify({ id }), payload]);
      const [head = new Uint8Array(), echoed = new Uint8Array()] = body;
      const { answers, worker, hash } = JSON.parse(Buffer.from(head).toString()) as Head;
      const intact = payload.equals(echoed) && hash === hashOf(payload);
      this.history.push({ type: 'replied', id, client: name, answers, worker, intact });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.history.push({ type: 'failed', id, client: name, code: error.code });
    }
  }

  /** What the broker told of one type so far. */
  of<Type extends BrokerEvent['type']>(type: Type): Extract<BrokerEvent, { type: Type }>[] {
    return this.told.filter((event) => event.type === type) as Extract<
      BrokerEvent,
      { type: Type }
    >[];
  }

  /** Takes all faults back; connections that a fault left half dead go their own way. */
  heal(): void {
    for (const proxy of this.proxies) {
      proxy.shape({ latency: 0, jitter: 0, bandwidth: Infinity });
      proxy.resume();
      proxy.forward();
    }
  }

  /** Waits until everybody is back and nothing is left over, and judges the broker's books. */
  async rest(): Promise<void> {
    this.heal();
    await until(() => this.#isAtRest());
    this.#judgeSessions();
    this.expectConserved();
    const { queuedBytes, events } = this.broker.status();
    requireThat(queuedBytes === 0, 'emptied', () => `${queuedBytes} bytes are still queued`);
    const told = [...this.clients, ...this.workers].flatMap((it): { type: string }[] => it.told);
    const malformed = events.malformed + told.filter(({ type }) => type === 'malformed').length;
    requireThat(malformed === 0, 'wellFormed', () => `${malformed} messages were not understood`);
  }

  /** The same, and judges the history. */
  async judge(): Promise<HistoryReport> {
    await this.rest();
    return checkHistory(this.history);
  }

  /** The books balance at any time, not only in the end. */
  expectConserved(): void {
    const { requests, queued, inFlight } = this.broker.status();
    const { accepted, replied, failed, expired, cancelled } = requests;
    const all = replied + failed + expired + cancelled + queued + inFlight;
    requireThat(
      all === accepted,
      'conserved',
      () => `${accepted} were accepted, but there are ${all}`,
    );
  }

  /** Closes everybody, clients first. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.heal();
    await Promise.all(this.clients.map(({ shell }) => shell.close()));
    await Promise.all(this.workers.map(({ shell }) => shell.close()));
    await this.broker.close();
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
  }

  #isAtRest(): boolean {
    const { workers, inFlight, queued, services } = this.broker.status();
    const waiting = services.reduce((sum, service) => sum + service.waiting, 0);
    const all = this.workers.length;
    const areReady = this.workers.every(({ told }) => sessionOf(told) === 'ready');
    return areReady && workers === all && waiting === all && inFlight === 0 && queued === 0;
  }

  /** Nobody was registered twice, nobody lost who was not registered, and all are there in the end. */
  #judgeSessions(): void {
    const registered = new Set<string>();
    for (const event of this.told) {
      if (event.type === 'workerReady') {
        registeredOnce(!registered.has(event.worker), event.worker);
        registered.add(event.worker);
      } else if (event.type === 'workerLost') {
        registeredOnce(registered.delete(event.worker), event.worker);
      }
    }
    registeredOnce(registered.size === this.workers.length, 'one of the workers');
  }

  async #openProxy(): Promise<ChaosProxy> {
    const port = Number(this.broker.endpoint?.split(':').at(-1));
    return await ChaosProxy.open({ port, random: this.random });
  }

  #echo(worker: string, [head, payload]: readonly Uint8Array[]): [string, Uint8Array] {
    if (head === undefined || payload === undefined) throw new Error('not a request of this test');
    const { id } = JSON.parse(Buffer.from(head).toString()) as { readonly id: string };
    this.history.push({ type: 'handled', id, worker });
    const answer: Head = { answers: id, worker, hash: hashOf(payload) };
    return [JSON.stringify(answer), payload];
  }
}

/** The first frame of a reply of `echo`. */
interface Head {
  readonly answers: string;
  readonly worker: string;
  readonly hash: string;
}

/** Requests without end, so many at a time by each client, until it is stopped. */
export class Traffic {
  readonly #links: Links;
  readonly #loops: Promise<unknown>;
  readonly #ended = new Map<LinkedClient, number>();
  #isStopped = false;

  /** @param sizeOf bytes of the next payload */
  constructor(links: Links, sizeOf: () => number, concurrency = 3) {
    this.#links = links;
    const loop = async (client: LinkedClient): Promise<void> => {
      while (!this.#isStopped && !links.isClosing) {
        await links.ask(client, sizeOf());
        links.expectConserved();
        this.#ended.set(client, (this.#ended.get(client) ?? 0) + 1);
      }
    };
    const loops = links.clients.flatMap((client) => Array(concurrency).fill(client));
    this.#loops = Promise.all(loops.map(loop));
  }

  /** Resolves when each client's requests have ended so many times more. */
  async progress(count: number): Promise<void> {
    const { clients } = this.#links;
    const goals = clients.map((client) => (this.#ended.get(client) ?? 0) + count);
    await until(() => clients.every((it, index) => (this.#ended.get(it) ?? 0) >= goals[index]!));
  }

  /** Lets what was begun end. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#loops;
  }
}

/** The last thing a worker told of its session. */
function sessionOf(told: readonly WorkerEvent[]): WorkerEvent['type'] | undefined {
  return told.findLast(({ type }) => /^(connecting|ready|brokerLost)$/.test(type))?.type;
}

function registeredOnce(holds: boolean, worker: string): void {
  requireThat(holds, 'registeredOnce', () => `${worker}: not registered, or a second time`);
}

function hashOf(payload: Uint8Array): string {
  return createHash('sha256').update(payload).digest('hex');
}

/** What this process holds open that only a shell or a proxy opens, by kind. */
function openHandles(): Record<string, number> {
  const handles: Record<string, number> = {};
  const kinds = process.getActiveResourcesInfo().filter((kind) => /^(TCP|Pipe)/.test(kind));
  for (const kind of [...kinds, ...openFiles()]) handles[kind] = (handles[kind] ?? 0) + 1;
  return handles;
}

/** Where the platform tells: each zeromq socket has event descriptors, each connection a socket. */
function openFiles(): string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc/self/fd').flatMap((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return /eventfd|^socket/.test(target) ? [target.replace(/\d+/, '')] : [];
    } catch {
      return []; // closed meanwhile: the very descriptor this listing was read through
    }
  });
}

/** Resolves when the count of open handles has stopped to change: zeromq frees its own in a thread. */
async function settled(): Promise<void> {
  let last = '';
  await vi.waitUntil(
    () => {
      const now = JSON.stringify(openHandles());
      const isSame = now === last;
      last = now;
      return isSame;
    },
    { interval: 50 },
  );
}
