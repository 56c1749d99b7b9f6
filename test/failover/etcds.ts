/**
 * An etcd of one or three members in a temporary folder, and servers that elect one of them by it.
 *
 * Where etcd is not installed the suite is skipped for all to see; in CI it fails.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll } from 'vitest';
import { EtcdElection } from '../../src/failover/etcd-election.ts';
import type { EtcdElectionEvent, EtcdElectionOptions } from '../../src/failover/etcd-options.ts';
import { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { Child } from '../processes/child.ts';

const ETCD = process.env['TEST_ETCD'] ?? 'etcd';
const INSTALL = `${ETCD} cannot be run: install it, on Debian and Ubuntu with: apt-get install etcd-server`;
const MISSING = spawnSync(ETCD, ['--version']).status !== 0;
const IN_CI = process.env['CI'] === 'true';

/** True where etcd cannot run and need not: the suite is skipped for all to see. */
export const withoutEtcd = MISSING && !IN_CI;

if (withoutEtcd) process.stderr.write(`\nTests of the etcd adapter are skipped: ${INSTALL}\n`);

beforeAll(() => {
  if (MISSING && IN_CI) throw new Error(`the etcd adapter must not go untested in CI: ${INSTALL}`);
});

/** Short, so that losses are noticed within a test. etcd counts leases in whole seconds. */
export const TIMES = { lease: 1000, heartbeatInterval: 50, timeout: 200 };

/** An election timeout of 200 ms lets leases be as short as one second. */
const FAST = { 'heartbeat-interval': '20', 'election-timeout': '200' };

const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  const faults: unknown[] = [];
  for (const close of closing.splice(0).toReversed()) {
    await close().catch((fault: unknown) => faults.push(fault));
  }
  // Not before all are closed: nothing may go on after its test.
  if (faults.length > 0) throw faults[0];
});

/** Has it called when the test is over; what was opened last is closed first. */
export function closeAfterwards(close: () => Promise<unknown>): void {
  closing.push(close);
}

/** Resolves once this is true. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 15_000;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`never came true: ${String(condition)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** One member, which can be killed and started again with what it had written. */
export class Etcd {
  readonly url: string;
  readonly port: number;
  readonly #name: string;
  readonly #args: readonly string[];
  #process: Child | undefined;

  constructor(port: number, name: string, args: readonly string[]) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#name = name;
    this.#args = args;
  }

  start(): void {
    this.#process = new Child(this.#name, ETCD, this.#args);
  }

  /** Resolves when it takes part in a working cluster. */
  async ready(): Promise<void> {
    await until(async () => {
      if (this.#process?.ending !== undefined) throw new Error(this.#process.errors);
      const health = await this.#ask('/health', undefined).catch(() => '');
      return health.includes('"true"');
    });
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL');
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.signal(name);
  }

  /** True if it leads the others. */
  async leads(): Promise<boolean> {
    const { header, leader } = JSON.parse(await this.#ask('/v3/maintenance/status', '{}'));
    return header.member_id === leader;
  }

  /** Writes what no server would. */
  async put(key: string, value: string): Promise<void> {
    const [name, text] = [key, value].map((part) => Buffer.from(part).toString('base64'));
    await this.#ask('/v3/kv/put', JSON.stringify({ key: name, value: text }));
  }

  /** What is there now. */
  async get(key: string): Promise<string> {
    const asked = JSON.stringify({ key: Buffer.from(key).toString('base64') });
    const { kvs = [] } = JSON.parse(await this.#ask('/v3/kv/range', asked));
    return Buffer.from(kvs[0]?.value ?? '', 'base64').toString();
  }

  async #ask(path: string, body: string | undefined): Promise<string> {
    const asked = body === undefined ? {} : { method: 'POST', body };
    const answer = await fetch(this.url + path, { ...asked, signal: AbortSignal.timeout(1000) });
    return await answer.text();
  }
}

/** Starts a cluster; resolves when it works. */
export async function startEtcd(members = 1): Promise<readonly Etcd[]> {
  const folder = mkdtempSync(join(tmpdir(), 'etcd-'));
  closeAfterwards(async () => rmSync(folder, { recursive: true, force: true }));
  const names = Array.from({ length: members }, (_, index) => `member${index}`);
  const ports = await freePorts(members * 2);
  const peerOf = (index: number): string => `http://127.0.0.1:${ports[members + index]}`;
  const cluster = names.map((name, index) => `${name}=${peerOf(index)}`).join(',');
  const etcds = names.map((name, index) => {
    const url = `http://127.0.0.1:${ports[index]}`;
    const options = {
      name,
      'data-dir': join(folder, name),
      'initial-cluster': cluster,
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peerOf(index),
      'initial-advertise-peer-urls': peerOf(index),
      ...FAST,
    };
    const args = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]);
    return new Etcd(ports[index]!, name, args);
  });
  for (const etcd of etcds) etcd.start();
  closeAfterwards(async () => await Promise.all(etcds.map((etcd) => etcd.kill())));
  await Promise.all(etcds.map((etcd) => etcd.ready()));
  return etcds;
}

/** One server of an election, and all that it has told. */
export class Server {
  readonly name: string;
  readonly election: EtcdElection;
  readonly events: EtcdElectionEvent[] = [];

  constructor(name: string, options: Partial<EtcdElectionOptions>) {
    this.name = name;
    this.election = new EtcdElection({ ...TIMES, server: name, ...options });
    this.election.on('event', (event) => this.events.push(event));
    this.election.stand({ endpoint: `tcp://${name}:5555` });
    closeAfterwards(() => this.election.close());
  }

  get epoch(): number {
    return this.election.epochAt(performance.now());
  }

  /** Under which it has served. */
  get epochs(): number[] {
    return this.events.flatMap((event) => (event.type === 'becameActive' ? [event.epoch] : []));
  }

  count(type: EtcdElectionEvent['type']): number {
    return this.events.filter((event) => event.type === type).length;
  }

  last<Type extends EtcdElectionEvent['type']>(type: Type) {
    type Wanted = Extract<EtcdElectionEvent, { type: Type }>;
    return this.events.findLast((event): event is Wanted => event.type === type);
  }
}

/**
 * Servers of one election. While the test lives it looks who serves: never two, and each reign has a higher
 * epoch than the one before.
 */
export class Servers {
  readonly all: Server[] = [];
  readonly faults: string[] = [];
  readonly #etcd: Etcd;
  readonly #proxies = new Map<Server, ChaosProxy>();
  #highest = 0;
  #looks = 0;

  constructor(etcd: Etcd) {
    this.#etcd = etcd;
    const timer = setInterval(() => this.#look(), 2);
    closeAfterwards(async () => {
      clearInterval(timer);
      const epochs = this.all.flatMap((server) => server.epochs);
      if (new Set(epochs).size < epochs.length) this.faults.push('an epoch was used twice');
      if (this.faults.length > 0) throw new Error(this.faults.join('\n'));
      if (this.#looks === 0) throw new Error('nobody looked');
    });
  }

  /** One that reaches etcd by a proxy of its own. */
  async add(name: string, options: Partial<EtcdElectionOptions> = {}): Promise<Server> {
    const proxy = await ChaosProxy.open({ port: this.#etcd.port });
    closeAfterwards(() => proxy.close());
    const server = this.addAt(name, [`http://127.0.0.1:${proxy.port}`], options);
    this.#proxies.set(server, proxy);
    return server;
  }

  /** One that asks these. */
  addAt(name: string, urls: readonly string[], options: Partial<EtcdElectionOptions> = {}): Server {
    const server = new Server(name, options);
    this.all.push(server);
    server.election.connect(urls);
    return server;
  }

  /** What is between this server and etcd. */
  linkOf(server: Server): ChaosProxy {
    return this.#proxies.get(server)!;
  }

  /** The one that serves, once one does and all others follow it. */
  async active(): Promise<Server> {
    await until(() => this.#settled() !== undefined);
    return this.#settled()!;
  }

  /** True if one serves whose lease was renewed since then. */
  isServed(since: number): boolean {
    const left = this.all.map(({ election }) => election.status().leaseLeft);
    return performance.now() + Math.max(...left) > since + TIMES.lease;
  }

  others(than: Server): Server[] {
    return this.all.filter((server) => server !== than);
  }

  #settled(): Server | undefined {
    const active = this.all.find(({ epoch }) => epoch > 0);
    const others = this.all.filter((server) => server !== active && isRunning(server));
    const follow = others.every((server) => server.election.status().leader === active?.name);
    return follow ? active : undefined;
  }

  #look(): void {
    this.#looks++;
    const serving = this.all.filter(({ epoch }) => epoch > 0);
    if (serving.length > 1)
      this.faults.push(`two serve: ${serving.map(({ name }) => name).join()}`);
    for (const { name, epoch } of serving) {
      if (epoch < this.#highest) this.faults.push(`${name} serves under an epoch of the past`);
      this.#highest = Math.max(this.#highest, epoch);
    }
  }
}

function isRunning({ election }: Server): boolean {
  return election.status().state !== 'closed';
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}
