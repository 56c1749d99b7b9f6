/** Names of bound sockets: what a raw ROUTER that connects calls them. */
import { join } from 'node:path';
import { Dealer, Router } from 'zeromq';
import { describe, expect, it, vi } from 'vitest';
import { cleanUp, ENDPOINTS, failureOf, folder, open, raw, type Peer } from './peers.ts';

/** A ROUTER of ours that sends everything back, bound to these endpoints. */
async function echo(...endpoints: readonly [endpoint: string, name?: string | true][]) {
  const router: Peer = open('router');
  const reals: string[] = [];
  for (const [endpoint, name] of endpoints) reals.push(await router.bind(endpoint, name));
  const answered = (): void => {
    for (const { from, text } of router.received.splice(0)) void router.send(from, ...text);
  };
  const timer = setInterval(answered, 1);
  cleanUp.push(() => clearInterval(timer));
  return reals;
}

/** A ROUTER of somebody else's, which sees an error for a name that it does not know. */
function rawRouter(): Router {
  const router = raw(new Router());
  router.mandatory = true;
  router.receiveTimeout = 2000;
  return router;
}

/** Sends to the socket of this name as soon as it is known, and returns what comes back. */
async function ask(router: Router, name: string, text = name): Promise<string[]> {
  await vi.waitFor(() => router.send([name, text]), { interval: 1 });
  return (await router.receive()).map(String);
}

describe('a bound socket', () => {
  it.each(ENDPOINTS)('over %s is called by its real endpoint', async (_name, endpoint) => {
    const [real = ''] = await echo([endpoint(), true]);
    const router = rawRouter();
    router.connect(real);
    expect(await ask(router, real, 'hello')).toEqual([real, 'hello']);
  });

  it('that is bound to several endpoints at once tells the real one of each', async () => {
    const router: Peer = open('router');
    const asked = ['tcp://127.0.0.1:*', `ipc://${join(folder(), 'socket')}`, 'tcp://127.0.0.1:*'];
    const reals = await Promise.all(asked.map((endpoint) => router.bind(endpoint, true)));
    expect(new Set(reals).size).toBe(3);
    expect(reals[1]).toBe(asked[1]);
    const client = rawRouter();
    for (const real of reals) client.connect(real);
    cleanUp.push(() => clearInterval(timer));
    const timer = setInterval(() => {
      for (const { from, text } of router.received.splice(0)) void router.send(from, ...text);
    }, 1);
    for (const real of reals) expect(await ask(client, real)).toEqual([real, real]);
  });

  it('with several endpoints is called by each of them, and nobody is warned', async () => {
    const warned = vi.spyOn(process, 'emitWarning');
    cleanUp.push(() => warned.mockRestore());
    const ipc = `ipc://${join(folder(), 'socket')}`;
    const reals = await echo(
      ['tcp://127.0.0.1:*', true],
      ['tcp://127.0.0.1:*', true],
      ['tcp://[::1]:*', true],
      [ipc, true],
      [`inproc://${folder()}`, true],
    );
    expect(new Set(reals).size).toBe(5);
    expect(warned).not.toHaveBeenCalled();
    const router = rawRouter();
    router.ipv6 = true;
    for (const real of reals) router.connect(real);
    for (const real of reals) expect(await ask(router, real)).toEqual([real, real]);
  });

  it('is called by any text that it is given', async () => {
    const [real = ''] = await echo(['tcp://127.0.0.1:*', 'tcp://public.example:5555']);
    const router = rawRouter();
    router.connect(real);
    expect(await ask(router, 'tcp://public.example:5555', 'hello')).toContain('hello');
  });

  it('without a name is known by no endpoint', async () => {
    const [real = ''] = await echo(['tcp://127.0.0.1:*']);
    const router = rawRouter();
    router.connect(real);
    const dealer = raw(new Dealer());
    dealer.connect(real);
    await dealer.send('connected');
    await dealer.receive();
    await expect(router.send([real, 'hello'])).rejects.toMatchObject({ code: 'EHOSTUNREACH' });
  });

  it('answers a ROUTER that brings its own name for it', async () => {
    const reals = await echo(['tcp://127.0.0.1:*', true], ['tcp://127.0.0.1:*', true]);
    const router = rawRouter();
    for (const real of reals) router.connect(real, { routingId: real });
    for (const real of reals) expect(await ask(router, real)).toEqual([real, real]);
  });
});

describe('a bind under its endpoint', () => {
  it('turns a host into the address that it reports', async () => {
    const [any = '', fixed = ''] = await echo(['tcp://localhost:*', true], ['tcp://*:0', true]);
    expect(any).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(fixed).toMatch(/^tcp:\/\/0\.0\.0\.0:\d+$/);
    const [port = ''] = /\d+$/.exec(any) ?? [];
    const error = await failureOf(open('router').bind(`tcp://localhost:${port}`, true));
    expect(error).toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
    const router = rawRouter();
    router.connect(any.replace('127.0.0.1', 'localhost'));
    expect(await ask(router, any, 'hello')).toEqual([any, 'hello']);
  });

  it('to a fixed port keeps it', async () => {
    const [first = ''] = await echo(['tcp://127.0.0.1:*', true]);
    const next = Number(/\d+$/.exec(first)![0]) === 65_535 ? 65_534 : 65_535;
    const [real] = await echo([`tcp://localhost:${next}`, true]);
    expect(real).toBe(`tcp://127.0.0.1:${next}`);
  });

  it('finds a port each time, though the one it found was in use a moment ago', async () => {
    const binds = Array.from({ length: 60 }, () => open('router').bind('tcp://127.0.0.1:*', true));
    expect(new Set(await Promise.all(binds)).size).toBe(60);
  });

  it('tells of a host that this machine does not have', async () => {
    const error = await failureOf(open('router').bind('tcp://192.0.2.1:*', true));
    expect(error).toMatchObject({ code: 'ERR_BIND_FAILED' });
    expect(error.message).toMatch(/cannot bind tcp:\/\/192\.0\.2\.1:\*: .*no such address/);
  });

  it.each(['', '\0name', 'x'.repeat(256), 'ü'.repeat(128)])('cannot be called %j', async (name) => {
    const error = await failureOf(open('router').bind('tcp://127.0.0.1:*', name));
    expect(error).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(error.message).toContain('1 to 255 bytes');
  });

  it('that is too long for a name fails, and gives its place free', async () => {
    const endpoint = `inproc://${'x'.repeat(300)}`;
    expect(await failureOf(open('router').bind(endpoint, true))).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    expect(await open('router').bind(endpoint)).toBe(endpoint);
  });
});
