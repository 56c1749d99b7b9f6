/**
 * Processes of one test, and the history they write together: what the clusters of all patterns share.
 *
 * A role is a program of its own in `roles/`, so that nothing but the wire connects it to the others.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { ChaosProxy } from '../../src/testing/chaos-proxy.ts';
import { checkHistory, type HistoryEntry, type HistoryReport } from '../../src/testing/history.ts';
import { Child } from './child.ts';

/** Short heartbeats, so that silence is noticed within a test: an expiry is 450 ms. */
export const HEARTBEATS = { heartbeatInterval: 150, heartbeatLiveness: 3 };

/** For tests in which nobody falls silent: a process that waits for a core is not taken for lost. */
export const CALM = { heartbeatInterval: 2000, heartbeatLiveness: 3 };

const ROLES = join(import.meta.dirname, 'roles');

/** What a role program tells: a type, and what belongs to it. */
export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** How a worker or server of a cluster works. */
export interface HandlerSettings {
  /** See `roles/digest.js`. Default: `delay`. */
  readonly mode?: 'delay' | 'hold' | 'block' | 'watch';
  /** Milliseconds that a request takes. Default 10. */
  readonly delay?: number;
}

/** What a client of a cluster asks. */
export interface AskerSettings {
  /** Default: until `finish`. */
  readonly requests?: number;
  /** Default 4. */
  readonly concurrency?: number;
}

/** A history's report, and what it comes down to. */
export interface Outcome extends HistoryReport {
  /** Requests without a reply. */
  readonly unanswered: number;
}

/** What a test expects of its outcome where nothing is lost for good. */
export const SOUND = { unanswered: 0, failed: {}, violations: [] };

const groups: Processes[] = [];

afterEach(async () => {
  for (const group of groups.splice(0)) await group.destroy();
});

/** All processes of one test. They end with it. */
export class Processes {
  readonly clients: Child[] = [];
  protected readonly folder = mkdtempSync(join(tmpdir(), 'uns-'));
  /** Where its processes write down what they did; not all of them do. */
  protected readonly histories: string[] = [];
  readonly #children: Child[] = [];
  readonly #killed: HistoryEntry[] = [];
  readonly #proxies: ChaosProxy[] = [];

  constructor() {
    groups.push(this);
  }

  /** A proxy on the way to a tcp endpoint, and the endpoint that leads through it. */
  async openProxy(endpoint: string): Promise<{ proxy: ChaosProxy; endpoint: string }> {
    const proxy = await ChaosProxy.open({ port: Number(endpoint.split(':').at(-1)) });
    this.#proxies.push(proxy);
    return { proxy, endpoint: `tcp://127.0.0.1:${proxy.port}` };
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
    return checkHistory([...this.histories.flatMap(readHistory<HistoryEntry>), ...this.#killed]);
  }

  /** As `finish`; see `SOUND`. */
  async outcome(): Promise<Outcome> {
    const report = await this.finish();
    return { ...report, unanswered: report.requested - report.replied };
  }

  async destroy(): Promise<void> {
    const alive = this.#children.filter((child) => child.ending === undefined);
    await Promise.all(alive.map((child) => child.end('SIGKILL')));
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Starts the program of this name with these settings, its own name and its history. */
  protected start(role: string, settings: object): Child {
    return this.startUnder([], role, settings);
  }

  /** The same as the last arguments of another command, such as strace. */
  protected startUnder(command: readonly string[], role: string, settings: object): Child {
    const name = `${role}-${this.#children.length}`;
    const history = join(this.folder, `${name}.jsonl`);
    const all = JSON.stringify({ name, history, ...settings });
    const [first, ...rest] = [...command, process.execPath, join(ROLES, `${role}.js`), all];
    const child = new Child(name, first, rest);
    this.#children.push(child);
    this.histories.push(history);
    return child;
  }
}

/** The next message of this type, among those not yet passed over. */
export async function told(child: Child, type: string): Promise<Message> {
  return parse(await child.line(new RegExp(`"type":"${type}"`)));
}

/** The next message of this type from now on. */
export async function toldAnew(child: Child, type: string): Promise<Message> {
  child.passOver();
  return await told(child, type);
}

/** The next message of this type that has these fields, among those not yet passed over. */
export async function toldWith(child: Child, type: string, fields: object): Promise<Message> {
  for (;;) {
    const message = await told(child, type);
    if (Object.entries(fields).every(([field, value]) => message[field] === value)) return message;
  }
}

/** All messages of this type that a process has told so far. */
export function allTold(child: Child, type: string): Message[] {
  return child.lines.map(parse).filter((message) => message.type === type);
}

/** Resolves when each client has got one more reply. */
export async function progress({ clients }: Processes): Promise<void> {
  await Promise.all(clients.map((client) => toldAnew(client, 'replied')));
}

/** How many handlers of a process ran at the same time at most, by what it has told. */
export function mostAtOnce(child: Child): number {
  let running = 0;
  let most = 0;
  for (const { type } of child.lines.map(parse)) {
    if (type === 'handling') most = Math.max(most, ++running);
    else if (type === 'settled') running--;
  }
  return most;
}

function parse(line: string): Message {
  return JSON.parse(line);
}

/** What one process has written down. */
export function readHistory<Entry>(path: string): Entry[] {
  // A process that was killed before its first entry, or never writes any, has no file.
  const text = readFileSync(path, { encoding: 'utf8', flag: 'a+' });
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line): Entry => JSON.parse(line));
}
