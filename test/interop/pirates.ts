/** Pirates and Freelance on both sides of the interoperation tests: Python peers and ours. */
import { expect, vi } from 'vitest';
import {
  LazyPirateClient,
  ParanoidPirateQueue,
  SimplePirateQueue,
  type LazyPirateClientOptions,
  type ParanoidPirateQueueOptions,
  type PirateQueueEvent,
} from '../../src/index.ts';
import type { Child } from '../processes/child.ts';
import { closeAfterwards, HEARTBEAT, startPeer } from './peers.ts';

export type PirateQueue = ParanoidPirateQueue | SimplePirateQueue;

/** One reply as a Python Pirate client prints it: frames as latin-1 text. */
export interface PrintedReply {
  readonly stack: readonly string[];
  readonly body: readonly string[];
}

const ANY = 'tcp://127.0.0.1:*';

/** A queue of ours, on free ports or where another one was. */
export async function bindQueue(
  protocol: 'simple' | 'paranoid',
  options?: ParanoidPirateQueueOptions,
  frontend = ANY,
  backend = ANY,
): Promise<{ queue: PirateQueue; frontend: string; backend: string }> {
  const common = { drainTimeout: 0, ...options };
  const queue =
    protocol === 'simple'
      ? new SimplePirateQueue(common)
      : new ParanoidPirateQueue({ heartbeatInterval: HEARTBEAT, ...common });
  closeAfterwards(() => queue.close());
  return {
    queue,
    frontend: await bound(() => queue.bindFrontend(frontend)),
    backend: await bound(() => queue.bindBackend(backend)),
  };
}

/** The endpoint once it is bound: what was there before may free it a moment later. */
export async function bound(bind: () => Promise<string>): Promise<string> {
  return await vi.waitFor(bind, { timeout: 5000, interval: 5 });
}

/** A Python queue on free ports, or where another one was; resolves when it is bound. */
export async function startQueue(
  frontend = ANY,
  backend = ANY,
  ...more: string[]
): Promise<{ queue: Child; frontend: string; backend: string }> {
  const ends = ['--frontend', frontend, '--backend', backend];
  const queue = startPeer('pirate_queue', ...ends, '--heartbeat', `${HEARTBEAT}`, ...more);
  const [, front, back] = (await queue.line(/^ready /)).split(' ');
  return { queue, frontend: front!, backend: back! };
}

/** Starts a Python worker, for a queue of either protocol. */
export function startWorker(backend: string, behaviour: string, ...more: string[]): Child {
  const what = ['--connect', backend, '--behaviour', behaviour, '--heartbeat', `${HEARTBEAT}`];
  return startPeer('pirate_worker', ...what, ...more);
}

/** Starts a Python client that asks once, unless `args` say otherwise, and ends. */
export function startClient(frontend: string, ...args: string[]): Child {
  return startPeer('pirate_client', '--connect', frontend, ...args);
}

/** All replies of a Python client, which must have been answered. */
export async function repliesOf(client: Child): Promise<readonly PrintedReply[]> {
  const { code } = await client.ended;
  if (code !== 0) throw new Error(`${client.name} ended with ${code}: ${client.errors}`);
  return client.lines.map((line): PrintedReply => JSON.parse(line));
}

/** Asks once with a Python client; resolves to the body of the reply. */
export async function ask(frontend: string, ...args: string[]): Promise<readonly string[]> {
  const replies = await repliesOf(startClient(frontend, ...args));
  expect(replies).toHaveLength(1);
  return replies[0]!.body;
}

/** A client of ours. */
export function connectClient(
  frontend: string,
  options?: LazyPirateClientOptions,
): LazyPirateClient {
  const client = new LazyPirateClient({ drainTimeout: 0, ...options });
  closeAfterwards(() => client.close());
  client.connect(frontend);
  return client;
}

/** Resolves at the queue's next event of this type. */
export function nextEvent<Type extends PirateQueueEvent['type']>(
  queue: PirateQueue,
  type: Type,
): Promise<PirateQueueEvent & { type: Type }> {
  const isAwaited = (event: PirateQueueEvent): event is PirateQueueEvent & { type: Type } =>
    event.type === type;
  return new Promise((resolve) => {
    queue.on('event', function listen(event: PirateQueueEvent) {
      if (!isAwaited(event)) return;
      queue.off('event', listen);
      resolve(event);
    });
  });
}

/** Resolves when so many workers are registered, idle or busy. */
export async function registered(queue: PirateQueue, workers: number): Promise<void> {
  while (queue.status().workers < workers) await nextEvent(queue, 'workerReady');
}

/** The frames of a reply as text. */
export function textsOf(reply: { readonly body: readonly Uint8Array[] }): string[] {
  return reply.body.map((frame) => Buffer.from(frame).toString());
}
