/**
 * A pair of brokers, its witness, workers and clients as processes of their own, on links that can be cut.
 *
 * The one idea: what counts is seen from outside. Clients tell under which epochs they were served, workers
 * and clients write down what was executed and answered, and each half of the pair tells what it takes
 * itself for.
 */
import { join } from 'node:path';
import { vi } from 'vitest';
import type { BrokerOptions, ClientOptions, WorkerOptions } from '../../src/index.ts';
import type { BinaryStarOptions } from '../../src/failover/options.ts';
import type { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import type { Child } from './child.ts';
import {
  allTold,
  CALM,
  HEARTBEATS,
  Processes,
  told,
  type Message,
  type Outcome,
} from './processes.ts';
import { threePorts } from '../ports.ts';

export type Role = 'primary' | 'backup';
/** Who decides: a witness, which gives leases of this length in milliseconds; or the clients. */
export type Mode = 'witness' | 'vote';

/** Short, so that silence is noticed within a test: an expiry is 600 ms. */
const STAR = { heartbeatInterval: 150, heartbeatLiveness: 4 };
const LEASE = 600;
/** Nobody stops a worker: one that waits for a core is not lost, and nothing is given to another one. */
const WORKER: WorkerOptions = { ...CALM, concurrency: 8 };
const BROKER: BrokerOptions = { ...HEARTBEATS, maxAttempts: 50 };
/** One deadline, which no test comes near, and as many tries as it takes. */
const CLIENT: ClientOptions = { ...HEARTBEATS, timeout: 25_000, retries: 200, backoffLimit: 200 };

/** What came of it all. */
export interface Judgement extends Outcome {
  /** Those who are not there any more, and should be. */
  readonly ended: readonly string[];
  /** Clients that were served under a lower epoch than before, and those epochs. */
  readonly descents: readonly string[];
}

/** What nobody has to explain. */
export const SOUND = {
  unanswered: 0,
  failed: {},
  violations: [],
  repeated: 0,
  ended: [],
  descents: [],
};

/** The links, by who opens them and where they lead. */
const LINKS = {
  primaryToBackup: 'backup.pair',
  backupToPrimary: 'primary.pair',
  primaryToWitness: 'witness',
  backupToWitness: 'witness',
  clientsToPrimary: 'primary',
  clientsToBackup: 'backup',
} as const;
export type Link = keyof typeof LINKS;
type Place = (typeof LINKS)[Link];

const PLACES: readonly Place[] = ['primary', 'backup', 'primary.pair', 'backup.pair', 'witness'];

export interface FailoverSettings {
  readonly mode: Mode;
  /** Whether all links can be cut, and lead over tcp. Default false: ipc. */
  readonly canCut?: boolean;
  readonly star?: Partial<BinaryStarOptions>;
  /** Whether clients ask under keys. Default true. */
  readonly isKeyed?: boolean;
  /** Default 2 of each. */
  readonly clients?: number;
  readonly workers?: number;
}

/** All processes of one test. They end with it. */
export class Failovers extends Processes {
  readonly halves = new Map<Role, Child>();
  readonly workers: Child[] = [];
  readonly #settings: FailoverSettings;
  readonly #places = new Map<Place, string>();
  readonly #links = new Map<Link, { readonly proxy: ChaosProxy; readonly endpoint: string }>();
  #witness: Child | undefined;

  /** Starts all of them, and resolves when each client was answered and the backup could take over. */
  static async open(settings: FailoverSettings): Promise<Failovers> {
    const all = new Failovers(settings);
    await all.#prepare();
    if (settings.mode === 'witness') await all.startWitness();
    await all.startHalf('primary');
    // Where clients vote, it serves no sooner than one comes, or it hears the other one.
    if (settings.mode === 'witness') await told(all.halves.get('primary')!, 'becameActive');
    await all.startHalf('backup');
    const { workers = 2, clients = 2 } = settings;
    for (let count = 0; count < workers; count++) all.#startWorker();
    for (let count = 0; count < clients; count++) all.#startClient();
    await all.whole();
    await all.progress();
    return all;
  }

  private constructor(settings: FailoverSettings) {
    super();
    this.#settings = settings;
  }

  /** The witness that was started last. */
  get witness(): Child {
    if (this.#witness === undefined) throw new Error('there is no witness');
    return this.#witness;
  }

  /** The one that serves, if it is one and not two. */
  get active(): Role | undefined {
    const actives = [...this.halves].filter(([, child]) => epochOf(child) > 0);
    return actives.length === 1 ? actives[0]![0] : undefined;
  }

  /** The epoch under which that one serves; 0 if it does not. */
  epochOf(role: Role): number {
    return epochOf(this.halves.get(role)!);
  }

  /** True if one of the pair got no core for so long that it may have lost what it had. */
  get isStarved(): boolean {
    return [...this.halves.keys()].some((role) => this.told(role, 'wasStopped').length > 0);
  }

  /** Resolves to the one that serves when the other could take its place. */
  async whole(): Promise<Role> {
    const isWhole = (): boolean => this.active !== undefined && this.#isFollowed(this.active);
    await vi.waitUntil(isWhole, { interval: 5, timeout: 20_000 });
    return this.active!;
  }

  /** Resolves when each client has got one more reply. */
  async progress(): Promise<void> {
    for (const client of this.clients) client.passOver();
    await Promise.all(this.clients.map((client) => told(client, 'replied')));
  }

  async startWitness(): Promise<void> {
    this.#witness = this.start('witness', {
      endpoint: this.#places.get('witness'),
      options: { store: join(this.folder, 'witness.epochs') },
    });
    await told(this.#witness, 'bound');
  }

  /** Starts that one of the pair, and resolves when it is bound. */
  async startHalf(role: Role): Promise<void> {
    const [peer, witness, clients] = linksOf(role);
    const star: BinaryStarOptions = {
      ...STAR,
      role,
      peer: this.#leads(peer),
      store: join(this.folder, `${role}.epochs`),
      advertise: this.#leads(clients),
      ...(this.#settings.mode === 'witness' && { witness: this.#leads(witness), lease: LEASE }),
      ...this.#settings.star,
    };
    const half = this.start('failover-broker', {
      endpoint: this.#places.get(role),
      pair: this.#places.get(`${role}.pair`),
      star,
      options: BROKER,
    });
    this.halves.set(role, half);
    await told(half, 'bound');
  }

  /** Kills that one, or dismisses it, and starts it again. */
  async restart(role: Role, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.halves.get(role)!.end(signal);
    await this.startHalf(role);
  }

  async restartWitness(): Promise<void> {
    await this.witness.end('SIGKILL');
    await this.startWitness();
  }

  /** What stands on that link. */
  proxy(link: Link): ChaosProxy {
    return this.#links.get(link)!.proxy;
  }

  /** Lets all links carry again what they should. */
  heal(): void {
    for (const { proxy } of this.#links.values()) proxy.resume();
  }

  /** Waits until one serves again, and is followed, and each client is answered; and judges. */
  async judge(): Promise<Judgement> {
    await this.whole();
    await this.progress();
    const everybody = [...this.halves.values(), ...this.workers, ...this.clients];
    if (this.#witness !== undefined) everybody.push(this.#witness);
    const ended = everybody.filter(({ ending }) => ending !== undefined).map(({ name }) => name);
    const outcome = await this.outcome();
    return { ...outcome, ended, descents: this.clients.flatMap(descentsOf) };
  }

  /** What that one of the pair told of this type. */
  told(role: Role, type: string): Message[] {
    return allTold(this.halves.get(role)!, type);
  }

  #isFollowed(role: Role): boolean {
    const messages = messagesOf(this.halves.get(role)!);
    const last = messages.findLast(({ type }) => /^becameActive$|^follower/.test(type));
    return last?.type === 'followerSynchronised';
  }

  #startWorker(): void {
    const endpoint = [this.#places.get('primary'), this.#places.get('backup')];
    this.workers.push(this.start('worker', { endpoint, options: WORKER }));
  }

  #startClient(): void {
    const endpoints = [this.#leads('clientsToPrimary'), this.#leads('clientsToBackup')];
    const isKeyed = this.#settings.isKeyed ?? true;
    this.clients.push(this.start('failover-client', { endpoints, isKeyed, options: CLIENT }));
  }

  /** Where to connect to for that link. */
  #leads(link: Link): string {
    return this.#links.get(link)?.endpoint ?? this.#places.get(LINKS[link])!;
  }

  async #prepare(): Promise<void> {
    for (const place of PLACES) {
      const endpoint = this.#settings.canCut
        ? `tcp://127.0.0.1:${await threePorts()}`
        : `ipc://${join(this.folder, place)}`;
      this.#places.set(place, endpoint);
    }
    if (!this.#settings.canCut) return;
    for (const link of Object.keys(LINKS) as Link[]) {
      this.#links.set(link, await this.openProxy(this.#places.get(LINKS[link])!));
    }
  }
}

/** To its peer, to the witness, and from its clients. */
function linksOf(role: Role): [peer: Link, witness: Link, clients: Link] {
  return role === 'primary'
    ? ['primaryToBackup', 'primaryToWitness', 'clientsToPrimary']
    : ['backupToPrimary', 'backupToWitness', 'clientsToBackup'];
}

/** Where the epochs under which a client was served are not in order; or that it told of none. */
function descentsOf(client: Child): string[] {
  const epochs = allTold(client, 'ready').map(({ epoch }) => Number(epoch));
  if (!epochs.every((epoch) => epoch > 0)) return [`${client.name}: ${epochs.join()}`];
  const falls = epochs.filter((epoch, index) => epoch < (epochs[index - 1] ?? 0));
  return falls.map((epoch) => `${client.name}: ${epoch} of ${epochs.join()}`);
}

/** Under which a half says that it serves. */
function epochOf(half: Child): number {
  const last = messagesOf(half).findLast(({ type }) => type.startsWith('became'));
  return last?.type === 'becameActive' ? Number(last['epoch']) : 0;
}

function messagesOf(child: Child): Message[] {
  return child.lines.map((line): Message => JSON.parse(line));
}
