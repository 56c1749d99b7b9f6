/** The driver over real sockets: a toy machine on a router port echoes to one on a dealer port. */
import { expect, it, vi } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import { byteLength, keepFrames } from '../../src/core/frames.ts';
import type { Frames, Machine, Outbox } from '../../src/core/machine.ts';
import { Driver } from '../../src/transport/driver.ts';
import { systemClock } from '../../src/transport/system-clock.ts';
import { zeromqTransport } from '../../src/transport/zeromq.ts';
import { bytesOf, cleanUp, textOf } from './peers.ts';

type Port = 'server' | 'client';
type Call = { connect: string } | { send: string };
type Event = { received: string[] } | { gone: true } | { writable: true };

const codec: Codec<Port, Frames> = {
  decode(_port, frames, deliver) {
    deliver(frames);
    return undefined;
  },
  encode: (_port, frames) => ({ frames, bytes: byteLength(frames) }),
};

/** Echoes what comes to `server`; tells what comes to `client`. */
function toyMachine(outbox: Outbox<Port, Frames, Event>): Machine<Port, Frames, Call> {
  return {
    nextTimeout: Infinity,
    handleCommand(_now, port, from, frames) {
      if (port === 'server') outbox.send('server', from, keepFrames(frames));
      else outbox.emit({ received: frames.map(textOf) });
    },
    handleCall(_now, call) {
      if ('connect' in call) outbox.open('client', call.connect);
      else outbox.send('client', '', [bytesOf(call.send)]);
    },
    handlePeerGone: () => outbox.emit({ gone: true }),
    handleWritable: () => outbox.emit({ writable: true }),
    handleMalformed: () => undefined,
    handleStored: () => undefined,
    handleTimeout: () => undefined,
    fingerprint: () => '',
  };
}

function openDriver() {
  const events: Event[] = [];
  const driver = new Driver<Port, Frames, Frames, Call, Event>({
    machine: toyMachine,
    codec,
    kindOf: (port) => (port === 'server' ? 'router' : 'dealer'),
    transport: zeromqTransport(),
    clock: systemClock,
    peerQueueBytes: 1 << 20,
    onEvent: (event) => events.push(event),
  });
  const close = () => new Promise<void>((resolve) => driver.close(resolve));
  cleanUp.push(close);
  return { driver, events, close };
}

it('carries calls and commands through both drivers and closes', async () => {
  const server = openDriver();
  const client = openDriver();
  const endpoint = await new Promise<string>((resolve, reject) => {
    server.driver.bind('server', 'tcp://127.0.0.1:*', (error, real) =>
      error ? reject(error) : resolve(real),
    );
  });
  client.driver.call({ connect: endpoint });
  const texts = Array.from({ length: 2000 }, (_, index) => String(index));
  for (const text of texts) client.driver.call({ send: text });
  await vi.waitUntil(() => client.events.length >= texts.length, { interval: 1 });
  expect(client.events).toEqual(texts.map((text) => ({ received: [text] })));
  expect(client.driver.counters).toMatchObject({ sent: 2000, received: 2000, refused: 0 });

  await client.close();
  await vi.waitUntil(() => server.events.length > 0, { interval: 1 });
  expect(server.events).toEqual([{ gone: true }]);
  await server.close();
});

it('sends a farewell that was queued right before closing', async () => {
  const server = openDriver();
  const client = openDriver();
  const endpoint = await new Promise<string>((resolve) => {
    server.driver.bind('server', 'inproc://farewell', (_error, real) => resolve(real));
  });
  client.driver.call({ connect: endpoint });
  client.driver.call({ send: 'goodbye' });
  await client.close();
  await vi.waitUntil(() => server.driver.counters.received === 1, { interval: 1 });
  expect(server.driver.counters.malformed).toBe(0);
});
