/** Sockets of ours and raw ones for the transport tests; all end with the test that opened them. */
import { join } from 'node:path';
import type { Dealer, Router } from 'zeromq';
import { afterEach, vi } from 'vitest';
import { UnsinkableError } from '../../src/core/errors.ts';
import type { Address } from '../../src/core/machine.ts';
import type {
  SendOutcome,
  SocketKind,
  SocketName,
  TransportSocket,
} from '../../src/transport/transport.ts';
import { zeromqTransport, type ZeromqOptions } from '../../src/transport/zeromq.ts';
import { freshFolder, removeFolder, run, type Child } from './processes.ts';

/** One of our sockets and all it has told its owner. */
export interface Peer {
  readonly socket: TransportSocket;
  readonly received: { from: Address; text: string[] }[];
  /** Of whom it was told, but for peers not heard before: of them it means that they have come. */
  readonly gone: Address[];
  bind(endpoint: string, name?: SocketName): Promise<string>;
  send(to: Address, ...frames: (string | Uint8Array)[]): Promise<SendOutcome>;
  /** Waits for the first message that has not been waited for yet. */
  next(): Promise<{ from: Address; text: string[] }>;
}

export const cleanUp: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
});

export function open(kind: SocketKind, options?: ZeromqOptions): Peer {
  const received: Peer['received'] = [];
  const gone: Address[] = [];
  let awaited = 0;
  const socket = zeromqTransport(options).open(kind, {
    onMessage: (from, frames) => received.push({ from, text: frames.map(textOf) }),
    onPeerGone: (from) => {
      if (from === '' || received.some((message) => message.from === from)) gone.push(from);
    },
  });
  cleanUp.push(() => socket.close(0));
  return {
    socket,
    received,
    gone,
    bind: (endpoint, name) =>
      new Promise((resolve, reject) => {
        socket.bind(endpoint, (error, real) => (error ? reject(error) : resolve(real)), name);
      }),
    send: (to, ...frames) =>
      new Promise((resolve) => {
        socket.send(to, frames.map(bytesOf), resolve);
      }),
    next: () => vi.waitUntil(() => received[awaited] && received[awaited++], { interval: 1 }),
  };
}

export const textOf = (frame: Uint8Array): string => Buffer.from(frame).toString('latin1');
export const bytesOf = (frame: string | Uint8Array): Uint8Array =>
  typeof frame === 'string' ? Buffer.from(frame, 'latin1') : frame;

export function folder(): string {
  const path = freshFolder();
  cleanUp.push(() => removeFolder(path));
  return path;
}

export function raw<Socket extends Dealer | Router>(socket: Socket): Socket {
  socket.linger = 0;
  cleanUp.push(() => socket.close());
  return socket;
}

export function start(source: string, ...args: string[]): Child {
  const child = run(source, args);
  cleanUp.push(() => child.kill());
  return child;
}

export async function failureOf(promise: Promise<unknown>): Promise<UnsinkableError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof UnsinkableError))
    throw new Error(`expected a failure, got ${String(error)}`);
  return error;
}

/** A router and a dealer of ours that have exchanged a message. */
export async function connected(endpoint: string, options?: ZeromqOptions) {
  const router = open('router', options);
  const real = await router.bind(endpoint);
  const dealer = open('dealer', options);
  dealer.socket.connect(real);
  await dealer.send('', 'hello');
  const { from } = await router.next();
  return { router, dealer, real, from };
}

export const ENDPOINTS: [transport: string, endpoint: () => string][] = [
  ['tcp', () => 'tcp://127.0.0.1:*'],
  ['ipc', () => `ipc://${join(folder(), 'socket')}`],
  ['inproc', () => `inproc://test-${Math.random()}`],
  ['ws', () => 'ws://127.0.0.1:*/mdp'],
];
