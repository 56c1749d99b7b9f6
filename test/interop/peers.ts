/**
 * The Python peers of `peers/`, run by the interoperation tests.
 *
 * They judge what they receive: a protocol violation that one of them reports fails the test, however
 * the test itself went. Where they cannot run, the suite is skipped for all to see; in CI it fails.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterEach, beforeAll, expect } from 'vitest';
import {
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  type BrokerEvent,
  type BrokerOptions,
  type ClientOptions,
  type Reply,
  type WorkerHandler,
  type WorkerOptions,
} from '../../src/index.ts';
import { Child } from '../processes/child.ts';

export type Version = '0.1' | '0.2';

/** One reply as a Python client prints it: frames as latin-1 text. */
export interface PrintedReply {
  readonly service: string;
  readonly partials: readonly (readonly string[])[];
  readonly body: readonly string[];
}

/** Milliseconds between heartbeats on both sides: short, so that loss is noticed within a test. */
export const HEARTBEAT = 200;

const PYTHON = process.env['INTEROP_PYTHON'] ?? '/usr/bin/python3';
const INSTALL = `${PYTHON} cannot import zmq: install it, on Debian and Ubuntu with: apt-get install python3 python3-zmq`;
const MISSING = spawnSync(PYTHON, ['-c', 'import zmq']).status !== 0;
const IN_CI = process.env['CI'] === 'true';

/** How a peer may end: done, no answer (the test judges that), ended by a signal. */
const GOOD_CODES: ReadonlySet<number | null> = new Set([0, 4, 128 + 15, null]);

const running: Child[] = [];
const closing: (() => Promise<void>)[] = [];

/** True where the Python peers cannot run and need not: the suite is skipped for all to see. */
export const withoutPeers = MISSING && !IN_CI;

if (withoutPeers) process.stderr.write(`\nInteroperation tests are skipped: ${INSTALL}\n`);

beforeAll(() => {
  if (MISSING && IN_CI) throw new Error(`interoperation must not go untested in CI: ${INSTALL}`);
});

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
  const peers = running.splice(0);
  const alive = peers.filter((peer) => peer.ending === undefined);
  await Promise.all(alive.map((peer) => peer.end('SIGTERM')));
  for (const { name, errors, ending } of peers) {
    if (!GOOD_CODES.has(ending!.code) || errors.includes('protocol violation')) {
      throw new Error(`${name} ended with ${ending!.code}: ${errors}`);
    }
  }
});

/** Has it called when the test is over. */
export function closeAfterwards(close: () => Promise<void>): void {
  closing.push(close);
}

/** Starts one of the programs in `peers/`, by its name there. */
export function startPeer(program: string, ...args: string[]): Child {
  const path = join(import.meta.dirname, 'peers', `${program}.py`);
  const peer = new Child(`${program}.py ${args.join(' ')}`, PYTHON, [path, ...args]);
  running.push(peer);
  return peer;
}

/** Starts a Python client that asks once (unless `more` says otherwise) and ends. */
export function startClient(
  protocol: Version,
  endpoint: string,
  service: string,
  body: readonly string[],
  ...more: string[]
): Child {
  const args = ['--protocol', protocol, '--connect', endpoint, ...more, service, ...body];
  return startPeer('client', ...args);
}

/** All replies of a Python client, which must have been answered. */
export async function repliesOf(client: Child): Promise<readonly PrintedReply[]> {
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`${client.name} ended with ${code}: ${client.errors}`);
  return client.lines.map((line): PrintedReply => JSON.parse(line));
}

/** Asks once with a Python client. */
export async function ask(...args: Parameters<typeof startClient>): Promise<PrintedReply> {
  const replies = await repliesOf(startClient(...args));
  expect(replies).toHaveLength(1);
  return replies[0]!;
}

/** Starts a Python worker whose service is named after what it does. */
export function startWorker(
  protocol: Version,
  endpoint: string,
  behaviour: string,
  service: string = behaviour,
  ...more: string[]
): Child {
  const what = ['--protocol', protocol, '--connect', endpoint, '--behaviour', behaviour];
  return startPeer('worker', ...what, '--heartbeat', `${HEARTBEAT}`, ...more, service);
}

/** Starts a Python broker; resolves when it is bound. */
export async function startBroker(
  endpoint = 'tcp://127.0.0.1:*',
  ...more: string[]
): Promise<{ broker: Child; endpoint: string }> {
  const broker = startPeer('broker', '--bind', endpoint, '--heartbeat', `${HEARTBEAT}`, ...more);
  const line = await broker.line(/^ready /);
  return { broker, endpoint: line.slice('ready '.length) };
}

/** A broker of ours, on a free port or where another one was. */
export async function bindBroker(
  options?: BrokerOptions,
  endpoint = 'tcp://127.0.0.1:*',
): Promise<{ broker: MajordomoBroker; endpoint: string }> {
  const broker = new MajordomoBroker({
    heartbeatInterval: HEARTBEAT,
    drainTimeout: 0,
    ...options,
  });
  closing.push(() => broker.close());
  return { broker, endpoint: await broker.bind(endpoint) };
}

/** A worker of ours; `ready()` is the test's to wait for. */
export function connectWorker(
  endpoint: string,
  service: string,
  handler: WorkerHandler,
  options?: WorkerOptions,
): MajordomoWorker {
  const worker = new MajordomoWorker(service, handler, {
    heartbeatInterval: HEARTBEAT,
    drainTimeout: 0,
    ...options,
  });
  closing.push(() => worker.close());
  worker.connect(endpoint);
  return worker;
}

/** A client of ours. */
export function connectClient(endpoint: string, options?: ClientOptions): MajordomoClient {
  const client = new MajordomoClient({ drainTimeout: 0, ...options });
  closing.push(() => client.close());
  client.connect(endpoint);
  return client;
}

/** Resolves at the broker's next event of this type. */
export function nextEvent<Type extends BrokerEvent['type']>(
  broker: MajordomoBroker,
  type: Type,
): Promise<BrokerEvent & { type: Type }> {
  const isAwaited = (event: BrokerEvent): event is BrokerEvent & { type: Type } =>
    event.type === type;
  return new Promise((resolve) => {
    broker.on('event', function listen(event: BrokerEvent) {
      if (!isAwaited(event)) return;
      broker.off('event', listen);
      resolve(event);
    });
  });
}

/** Resolves when a worker offers the service, idle or busy. */
export async function offered(broker: MajordomoBroker, service: string): Promise<void> {
  while (!broker.status().services.some(({ name, workers }) => name === service && workers > 0)) {
    await nextEvent(broker, 'workerReady');
  }
}

/** The frames of a reply as text. */
export function textsOf(reply: Reply): string[] {
  return reply.body.map((frame) => Buffer.from(frame).toString());
}

/** The texts of all parts of a stream. */
export async function collect(parts: AsyncIterable<Reply>): Promise<string[][]> {
  const collected: string[][] = [];
  for await (const part of parts) collected.push(textsOf(part));
  return collected;
}
