/** Clone servers and clients over real sockets, for the tests of the shells: what a test opens is closed after it. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import {
  CloneClient,
  CloneServer,
  type CloneClientOptions,
  type CloneEvent,
  type CloneServerOptions,
} from '../../src/clone/index.ts';
import { freshFolder, removeFolder } from '../transport/processes.ts';

/** Fast enough for a test, slow enough for a busy machine. */
export const FAST = { heartbeatInterval: 50, heartbeatLiveness: 10, drainTimeout: 500 };

const CLIENT = { ...FAST, reconnectInterval: 10, reconnectLimit: 100 };

/** Milliseconds that a change may take, far more than it ever does. */
const PATIENCE = { timeout: 10_000, interval: 2 };

let folder = '';
const opened: { close(): Promise<void> }[] = [];

beforeEach(() => {
  folder = freshFolder();
});

afterEach(async () => {
  for (const each of opened.splice(0).toReversed()) await each.close();
  removeFolder(folder);
});

/** In the folder of this test. */
export function fileIn(name: string): string {
  return `${folder}/${name}`;
}

/** What is closed after the test, before what was opened earlier. */
export function closing<Closable extends { close(): Promise<void> }>(closable: Closable): Closable {
  opened.push(closable);
  return closable;
}

export function makeServer(options: CloneServerOptions = {}): CloneServer {
  const storage = { ballastBytes: 0, ...options.storage };
  const given = options.store === undefined ? options : { ...options, storage };
  return closing(new CloneServer({ ...FAST, ...given }));
}

/** One that serves, and its endpoint. */
export async function startServer(
  options: CloneServerOptions = {},
  endpoint = 'tcp://127.0.0.1:*',
): Promise<{ server: CloneServer; endpoint: string }> {
  const server = makeServer(options);
  return { server, endpoint: await server.bind(endpoint) };
}

/** Where a server may come back: a free TCP port may be another test's by then. */
export function ownEndpoint(): string {
  return `ipc://${fileIn('server')}`;
}

/** A client that has been connected. */
export function connect<Value = Uint8Array>(
  endpoints: string | readonly string[],
  options: CloneClientOptions = {},
): CloneClient<Value> {
  const client = closing(new CloneClient({ ...CLIENT, ...options }) as CloneClient<Value>);
  client.connect(endpoints);
  return client;
}

/** A client whose values are text, and whose map is the server's. */
export async function follow(
  endpoints: string | readonly string[],
  options: CloneClientOptions = {},
): Promise<CloneClient<string>> {
  const client = connect<string>(endpoints, { codec: 'text', ...options });
  await client.synchronised();
  return client;
}

/** All that it tells from now on. */
export function eventsOf(client: CloneClient<never> | CloneClient<string>): CloneEvent[] {
  const events: CloneEvent[] = [];
  client.on('event', (event: CloneEvent) => void events.push(event));
  return events;
}

/** Waits until what is asserted holds. */
export async function until<Value>(assertion: () => Value): Promise<Value> {
  return await vi.waitFor(assertion, PATIENCE);
}

/** Waits until a replica has exactly this. */
export async function shows<Value>(
  client: ReadonlyMap<string, Value>,
  expected: Readonly<Record<string, Value>>,
): Promise<void> {
  await until(() => expect(Object.fromEntries(client)).toEqual(expected));
}

/** What a call fails with. */
export async function failureOf(call: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof call === 'function' ? call() : call);
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
