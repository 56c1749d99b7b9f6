/** The chaos proxy between plain TCP sockets: each fault has the effect that it promises. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ChaosProxy, type ChaosProxyOptions } from '../../src/testing/chaos-proxy.ts';

/** One end of a connection, all that it has read, and how it ended. */
class End {
  readonly socket: Socket;
  text = '';
  ended: 'end' | 'reset' | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => (this.text += data.toString()));
    socket.on('end', () => (this.ended ??= 'end'));
    socket.on('error', () => (this.ended ??= 'reset'));
  }
}

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanUp.splice(0).toReversed()) await undo();
});

const until = (condition: () => boolean): Promise<unknown> =>
  vi.waitUntil(condition, { interval: 1, timeout: 10_000 });

async function listen(accepted: End[]): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(new End(socket));
    cleanUp.push(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanUp.push(() => server.close());
  return server;
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('this server is closed');
  return address;
}

async function setUp(options: Partial<ChaosProxyOptions> = {}) {
  const accepted: End[] = [];
  const server = await listen(accepted);
  const { port } = addressOf(server);
  const proxy = await ChaosProxy.open({ port, ...options });
  cleanUp.push(() => proxy.close());
  const dial = (): End => {
    const end = new End(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }));
    cleanUp.push(() => end.socket.destroy());
    return end;
  };
  /** Both ends of a connection over which `x` has been up and down. */
  const pair = async (): Promise<{ client: End; target: End }> => {
    const client = dial();
    const index = accepted.length;
    client.socket.write('x');
    await until(() => accepted[index]?.text === 'x');
    const target = accepted[index];
    if (target === undefined) throw new Error('nobody was accepted');
    target.socket.write('x');
    await until(() => client.text === 'x');
    client.text = '';
    target.text = '';
    return { client, target };
  };
  return { proxy, accepted, dial, pair, server };
}

describe('without faults', () => {
  it('passes bytes both ways and counts them', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    client.socket.write('up'.repeat(50_000));
    target.socket.write('down');
    await until(() => target.text.length === 100_000 && client.text === 'down');
    expect(target.text).toBe('up'.repeat(50_000));
    expect(proxy.counters).toMatchObject({ accepted: 1, bytesUp: 100_001, bytesDown: 5 });
    expect([proxy.heldBytes, proxy.connections]).toEqual([0, 1]);
  });

  it('passes the end of either side on, behind the last bytes, and lets the other one answer', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    client.socket.end('goodbye');
    await until(() => target.ended === 'end');
    expect(target.text).toBe('goodbye');
    target.socket.end('farewell');
    await until(() => client.ended === 'end' && proxy.connections === 0);
    expect(client.text).toBe('farewell');
    expect(proxy.counters).toMatchObject({ reset: 0, bytesLost: 0 });
  });

  it('passes a reset on', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    client.socket.resetAndDestroy();
    await until(() => target.ended === 'reset' && proxy.connections === 0);
    expect(target.text).toBe('');
  });

  it('resets whoever connects while the target is not there', async () => {
    const { proxy, dial, server } = await setUp();
    await new Promise((resolve) => server.close(resolve));
    const client = dial();
    await until(() => client.ended === 'reset' && proxy.connections === 0);
    expect(proxy.counters).toMatchObject({ accepted: 1, refused: 0, bytesUp: 0 });
  });
});

describe('shape', () => {
  it('delays by the latency, one way or both', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    proxy.shape({ latency: 60 }, 'up');
    const begun = performance.now();
    client.socket.write('slow');
    target.socket.write('fast');
    await until(() => client.text === 'fast');
    expect(target.text).toBe('');
    await until(() => target.text === 'slow');
    expect(performance.now() - begun).toBeGreaterThanOrEqual(59);
  });

  it('delays by the bandwidth', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    proxy.shape({ bandwidth: 100 });
    const begun = performance.now();
    client.socket.write('x'.repeat(6000));
    await until(() => target.text.length === 6000);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(59);
  });

  it('draws the jitter for each chunk, and keeps the order all the same', async () => {
    let draws = 0;
    const random = (): number => (draws++ % 2 === 0 ? 0.9 : 0);
    const { pair } = await setUp({ jitter: 40, random });
    const { client, target } = await pair();
    client.socket.write('1');
    await until(() => draws === 3);
    client.socket.write('2');
    await until(() => target.text === '12');
    expect(draws).toBe(4);
  });
});

describe('pause', () => {
  it('holds one way, and loses nothing', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    proxy.pause('up');
    client.socket.write('held');
    await until(() => proxy.heldBytes === 4);
    target.socket.write('passes');
    await until(() => client.text === 'passes');
    expect(target.text).toBe('');
    proxy.resume('up');
    await until(() => target.text === 'held');
    expect(proxy.counters.bytesLost).toBe(0);
  });

  it('holds new connections too', async () => {
    const { proxy, accepted, dial } = await setUp();
    proxy.pause();
    const client = dial();
    client.socket.write('held');
    await until(() => proxy.heldBytes === 4 && accepted.length === 1);
    expect(accepted[0]?.text).toBe('');
    proxy.resume();
    await until(() => accepted[0]?.text === 'held');
  });

  it('fills up: the sender has to wait once the buffer is full', async () => {
    const { proxy, pair } = await setUp({ bufferBytes: 1000 });
    const { client, target } = await pair();
    proxy.pause();
    const size = 2 ** 25;
    expect(client.socket.write('x'.repeat(size))).toBe(false);
    await until(() => proxy.heldBytes >= 1000);
    expect(client.socket.writableLength).toBeGreaterThan(0);
    expect(proxy.heldBytes).toBeLessThan(size / 2);
    proxy.resume();
    await until(() => target.text.length === size);
  });
});

describe('reset', () => {
  it('breaks all connections on both sides, and what is held is lost', async () => {
    const { proxy, pair } = await setUp();
    const pairs = [await pair(), await pair()];
    proxy.pause();
    pairs[0]?.client.socket.write('lost');
    await until(() => proxy.heldBytes === 4);
    expect(proxy.reset()).toBe(2);
    for (const { client, target } of pairs) {
      await until(() => client.ended === 'reset' && target.ended === 'reset');
    }
    expect(proxy.counters).toMatchObject({ reset: 2, bytesLost: 4 });
    await until(() => proxy.connections === 0);
    expect([proxy.reset(), proxy.heldBytes]).toEqual([0, 0]);
  });

  it('can break one, the oldest', async () => {
    const { proxy, pair } = await setUp();
    const [first, second] = [await pair(), await pair()];
    expect(proxy.reset({ connections: 'one' })).toBe(1);
    await until(() => first.client.ended === 'reset' && first.target.ended === 'reset');
    second.client.socket.write('unaffected');
    await until(() => second.target.text === 'unaffected');
  });

  it('can leave the target with a half-open connection, which is not reset again', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    expect(proxy.reset({ side: 'client' })).toBe(1);
    await until(() => client.ended === 'reset');
    target.socket.write('into the void');
    const other = await pair();
    expect([target.ended, target.socket.destroyed, proxy.connections]).toEqual([
      undefined,
      false,
      2,
    ]);
    expect(proxy.reset()).toBe(1);
    await until(() => other.target.ended === 'reset');
    target.socket.end();
    await until(() => proxy.connections === 0);
  });
});

describe('new connections', () => {
  it('can be accepted and then stall; what stalled is reset in the end', async () => {
    const { proxy, accepted, dial, pair } = await setUp();
    const before = await pair();
    proxy.stall();
    const client = dial();
    client.socket.write('hello?');
    await until(() => proxy.counters.stalled === 1);
    before.client.socket.write('unaffected');
    await until(() => before.target.text === 'unaffected');
    expect([client.socket.readyState, client.ended, accepted.length]).toEqual([
      'open',
      undefined,
      1,
    ]);
    proxy.forward();
    await until(() => client.ended === 'reset');
    await pair();
  });

  it('can be refused', async () => {
    const { proxy, accepted, dial, pair } = await setUp();
    proxy.refuse();
    const client = dial();
    await until(() => client.ended === 'reset' && proxy.counters.refused === 1);
    expect(accepted).toHaveLength(0);
    proxy.forward();
    await pair();
  });
});

describe('cutAfter', () => {
  it.each(['up', 'down'] as const)('lets so many bytes %s pass, then breaks', async (direction) => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    const other = await pair();
    proxy.cutAfter(5, direction);
    const [from, to] = direction === 'up' ? [client, target] : [target, client];
    from.socket.write('12345678');
    // A reset right behind data is an end to Node, as it reads both at once.
    await until(() => from.ended === 'reset' && to.ended !== undefined);
    expect(to.text).toBe('12345');
    expect(proxy.counters).toMatchObject({ cut: 1, bytesLost: 3 });
    other.client.socket.write('up'.repeat(10));
    other.target.socket.write('down'.repeat(10));
    await until(() => other.target.text.length === 20 && other.client.text.length === 40);
  });

  it('counts over several chunks, and befalls a later connection as well', async () => {
    const { proxy, accepted, dial } = await setUp();
    proxy.cutAfter(3, 'up');
    const client = dial();
    client.socket.write('12');
    await until(() => accepted[0]?.text === '12');
    client.socket.write('34');
    await until(() => client.ended === 'reset');
    await until(() => accepted[0]?.ended !== undefined);
    expect(accepted[0]?.text).toBe('123');
  });
});

describe('close', () => {
  it('breaks what is open and frees the port', async () => {
    const { proxy, pair } = await setUp();
    const { client, target } = await pair();
    const { port } = proxy;
    await proxy.close();
    await until(() => client.ended === 'reset' && target.ended === 'reset');
    const successor = await ChaosProxy.open({ port: 1, listenPort: port });
    expect(successor.port).toBe(port);
    await expect(ChaosProxy.open({ port: 1, listenPort: port })).rejects.toThrow('EADDRINUSE');
    await successor.close();
    expect(() => successor.port).toThrow('closed');
  });
});
