/**
 * Clone servers as processes of their own, and replicas in this one, all of which write.
 *
 * The one idea: each key has one writer, who knows what he was told to be done. So when all is quiet, what
 * each replica shows can be compared with what was acknowledged, and with one that has just come.
 */
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import {
  CloneClient,
  type CloneClientOptions,
  type CloneEvent,
  type CloneServerOptions,
} from '../../src/clone/index.ts';
import type { BinaryStarOptions } from '../../src/failover/options.ts';
import type { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import type { Child } from './child.ts';
import { threePorts } from '../ports.ts';
import { Processes, told, type Message } from './processes.ts';

export type Role = 'primary' | 'backup';

/** Short, so that silence is noticed within a test. */
const HEARTBEATS = { heartbeatInterval: 150, heartbeatLiveness: 4 };
const LEASE = 600;
/** One deadline, which no test comes near. */
const CLIENT = { ...HEARTBEATS, timeout: 40_000, drainTimeout: 0 };

const PATIENCE = { interval: 5, timeout: 20_000 };

export interface CloneSettings {
  /** Whether there are two servers and a witness. */
  readonly isPair: boolean;
  /** Whether they store. Default false. */
  readonly isStored?: boolean;
  /** Whether replicas come through proxies. Default false. */
  readonly canCut?: boolean;
  /** Default 3. */
  readonly replicas?: number;
  readonly server?: CloneServerOptions;
  readonly client?: CloneClientOptions;
}

/** What a test expects where nothing is lost. */
export const SOUND = { lost: [], different: [], descents: [], failures: [], ended: [] };

export interface Judgement {
  /** Keys that have another value than was acknowledged. */
  readonly lost: readonly string[];
  /** Replicas whose map or digest is not that of one that has just come. */
  readonly different: readonly number[];
  /** Positions that were told after later ones. */
  readonly descents: readonly string[];
  /** Writes that failed. */
  readonly failures: readonly string[];
  /** Servers that are not there any more, and should be. */
  readonly ended: readonly string[];
  readonly written: number;
}

const KEYS = 40;

/** A client that writes on and on, some writes at a time. */
export class Replica {
  readonly client: CloneClient<string>;
  readonly proxies: readonly ChaosProxy[];
  readonly events: CloneEvent[] = [];
  readonly expected = new Map<string, string | undefined>();
  readonly failures: string[] = [];
  written = 0;
  newest = 0;
  readonly #index: number;
  #next = 0;
  #isStopped = false;
  #lanes: Promise<void>[] = [];

  constructor(
    index: number,
    endpoints: readonly string[],
    proxies: readonly ChaosProxy[],
    options: CloneClientOptions = {},
  ) {
    this.#index = index;
    this.proxies = proxies;
    this.client = new CloneClient({ ...CLIENT, ...options, codec: 'text' });
    this.client.on('event', (event: CloneEvent) => void this.events.push(event));
    this.client.connect(endpoints);
  }

  /** Writes until `stop` or a failure, so many at a time. */
  write(lanes = 8): void {
    this.#lanes = Array.from({ length: lanes }, () => this.#writeOn());
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#lanes);
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    await this.client.close();
  }

  /** How often it was told of this. */
  count(type: CloneEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }

  /** Positions that were told after later ones. */
  get descents(): string[] {
    const positions = this.events.flatMap((event) =>
      event.type === 'synchronised' ? [event.position] : [],
    );
    return positions.flatMap(({ epoch, sequence }, index) => {
      const before = positions[index - 1] ?? { epoch: 0, sequence: 0 };
      const isLater = epoch >= before.epoch && sequence >= before.sequence;
      return isLater ? [] : [`${epoch}/${sequence} after ${before.epoch}/${before.sequence}`];
    });
  }

  async #writeOn(): Promise<void> {
    while (!this.#isStopped) await this.#writeOne(this.#next++);
  }

  async #writeOne(number: number): Promise<void> {
    const key = `/${this.#index}/${number % KEYS}`;
    const value = number % 7 === 6 ? undefined : `${number}`;
    this.expected.set(key, value);
    try {
      const { revision } = await (value === undefined
        ? this.client.delete(key)
        : this.client.set(key, value));
      this.newest = Math.max(this.newest, revision);
      this.written++;
    } catch (error) {
      this.failures.push(`${key}: ${String(error)}`);
      this.#isStopped = true;
    }
  }
}

export class Clones extends Processes {
  readonly servers = new Map<Role, Child>();
  readonly replicas: Replica[] = [];
  readonly #settings: CloneSettings;
  readonly #endpoints = new Map<Role, string>();

  /** Starts all of them; resolves when each replica has written something, and a pair is whole. */
  static async open(settings: CloneSettings): Promise<Clones> {
    const all = new Clones(settings);
    for (const role of all.#roles) {
      all.#endpoints.set(role, `tcp://127.0.0.1:${await threePorts()}`);
    }
    if (settings.isPair) {
      const store = join(all.folder, 'witness.epochs');
      const witness = all.start('witness', { endpoint: all.#place('witness'), options: { store } });
      await told(witness, 'bound');
    }
    await all.startServer('primary');
    if (settings.isPair) {
      await told(all.servers.get('primary')!, 'becameActive');
      await all.startServer('backup');
      await all.whole();
    }
    const { replicas = 3 } = settings;
    for (let index = 0; index < replicas; index++) (await all.join()).write();
    await all.progress();
    return all;
  }

  private constructor(settings: CloneSettings) {
    super();
    this.#settings = settings;
  }

  /** One more replica, which does not write yet. */
  async join(): Promise<Replica> {
    let endpoints = [...this.#endpoints.values()];
    const proxies: ChaosProxy[] = [];
    if (this.#settings.canCut === true) {
      const links = await Promise.all(endpoints.map((endpoint) => this.openProxy(endpoint)));
      proxies.push(...links.map(({ proxy }) => proxy));
      endpoints = links.map(({ endpoint }) => endpoint);
    }
    const replica = new Replica(this.replicas.length, endpoints, proxies, this.#settings.client);
    this.replicas.push(replica);
    return replica;
  }

  async startServer(role: Role): Promise<void> {
    const { isPair, isStored, server } = this.#settings;
    const kept = { store: join(this.folder, `${role}.state`), storage: { ballastBytes: 0 } };
    const child = this.start('clone-server', {
      endpoint: this.#endpoints.get(role),
      pair: this.#place(`${role}.pair`),
      star: isPair ? this.#starOf(role) : undefined,
      options: { ...HEARTBEATS, ...server, ...(isStored === true ? kept : {}) },
    });
    this.servers.set(role, child);
    await told(child, 'bound');
  }

  /** Kills that one, or dismisses it, and starts it again. */
  async restart(role: Role, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await this.servers.get(role)!.end(signal);
    await this.startServer(role);
  }

  /** The one that serves, if it is one and not two. */
  get active(): Role | undefined {
    const actives = this.#roles.filter((role) => this.epochOf(role) > 0);
    return actives.length === 1 ? actives[0] : undefined;
  }

  epochOf(role: Role): number {
    const child = this.servers.get(role);
    const last = messagesOf(child).findLast(({ type }) => type.startsWith('became'));
    return last?.type === 'becameActive' ? Number(last['epoch']) : 0;
  }

  /**
   * Resolves to the one that serves when the other has all that it has. Until the voters have heard of
   * that, which is after some `progress`, the other one could not take its place yet.
   */
  async whole(): Promise<Role> {
    const isWhole = (): boolean => this.active !== undefined && this.#isFollowed(this.active);
    await vi.waitUntil(isWhole, PATIENCE);
    return this.active!;
  }

  /** Resolves when each replica has written some more. */
  async progress(): Promise<void> {
    const enough = this.replicas.map(({ written }) => written + 10);
    await vi.waitUntil(() => {
      const [failure] = this.replicas.flatMap(({ failures }) => failures);
      if (failure !== undefined) throw new Error(`a write failed: ${failure}`);
      return this.replicas.every(({ written }, index) => written >= enough[index]!);
    }, PATIENCE);
  }

  /** Lets all links carry again what they should. */
  heal(): void {
    for (const proxy of this.replicas.flatMap(({ proxies }) => proxies)) {
      proxy.forward();
      proxy.resume();
    }
  }

  /** Ends all writing, waits until each replica has all, and compares. */
  async judge(): Promise<Judgement> {
    await Promise.all(this.replicas.map((replica) => replica.stop()));
    const newest = Math.max(...this.replicas.map((replica) => replica.newest));
    const late = await this.join();
    for (const { client } of this.replicas) {
      await vi.waitUntil(
        () => client.status().state === 'synchronised' && client.at.sequence >= newest,
        PATIENCE,
      );
    }
    const truth = Object.fromEntries(late.client);
    const { digest } = late.client.status();
    const different = this.replicas.flatMap(({ client }, index) => {
      const isEqual = expectEqual([Object.fromEntries(client), client.status().digest]);
      return isEqual([truth, digest]) ? [] : [index];
    });
    const lost = this.replicas.flatMap(({ expected }) =>
      [...expected].flatMap(([key, value]) =>
        truth[key] === value ? [] : [`${key}: ${truth[key]}, not ${value}`],
      ),
    );
    const ended = [...this.servers.values()].filter(({ ending }) => ending !== undefined);
    return {
      lost,
      different,
      descents: this.replicas.flatMap((replica) => replica.descents),
      failures: this.replicas.flatMap(({ failures }) => failures),
      ended: ended.map(({ name }) => name),
      written: this.replicas.reduce((sum, { written }) => sum + written, 0),
    };
  }

  override async destroy(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.close()));
    await super.destroy();
  }

  get #roles(): readonly Role[] {
    return this.#settings.isPair ? ['primary', 'backup'] : ['primary'];
  }

  #starOf(role: Role): BinaryStarOptions {
    return {
      ...HEARTBEATS,
      role,
      lease: LEASE,
      peer: this.#place(`${role === 'primary' ? 'backup' : 'primary'}.pair`),
      witness: this.#place('witness'),
      store: join(this.folder, `${role}.epochs`),
    };
  }

  #isFollowed(role: Role): boolean {
    const last = messagesOf(this.servers.get(role)).findLast(({ type }) =>
      /^becameActive$|^backup/.test(type),
    );
    return last?.type === 'backupSynchronised';
  }

  #place(name: string): string {
    return `ipc://${join(this.folder, name)}`;
  }
}

function expectEqual(one: unknown): (other: unknown) => boolean {
  return (other) => {
    try {
      expect(other).toEqual(one);
      return true;
    } catch {
      return false; // the judgement says which
    }
  };
}

function messagesOf(child: Child | undefined): Message[] {
  return child?.lines.map((line): Message => JSON.parse(line)) ?? [];
}
