/** Binding: real endpoints, clashes that libzmq does not report, and errors that help. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BindError } from '../../src/core/errors.ts';
import { connected, ENDPOINTS, failureOf, folder, open, start } from './peers.ts';

describe('bind', () => {
  it('reports the real endpoint of each wildcard, and several endpoints work at once', async () => {
    const router = open('router');
    const reals = await Promise.all([
      router.bind('tcp://127.0.0.1:*'),
      router.bind('tcp://localhost:0'),
      router.bind('ipc://*'),
      router.bind(`ipc://${join(folder(), 'socket')}`),
    ]);
    expect(reals[0]).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(reals[1]).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    expect(reals[2]).toMatch(/^ipc:\/\/.*unsinkable-/);
    for (const real of reals) {
      const dealer = open('dealer');
      dealer.socket.connect(real);
      await dealer.send('', real);
      expect((await router.next()).text).toEqual([real]);
    }
  });

  it('to ipc://* leaves no file behind', async () => {
    const router = open('router');
    const path = (await router.bind('ipc://*')).slice('ipc://'.length);
    expect(existsSync(path)).toBe(true);
    router.socket.close(0);
    expect(existsSync(path)).toBe(false);
  });

  it.each(['tcp', 'ipc', 'inproc'])('twice to one %s endpoint is refused', async (transport) => {
    const endpoint = new Map(ENDPOINTS).get(transport)?.() ?? '';
    const { router, dealer, real, from } = await connected(endpoint);
    for (const second of [open('router'), router]) {
      const error = await failureOf(second.bind(real));
      expect(error).toBeInstanceOf(BindError);
      expect(error).toMatchObject({ code: 'ERR_ADDRESS_IN_USE', endpoint: real, retriable: true });
      expect(error.message).toContain(real);
    }
    expect(await dealer.send('', 'still here')).toBe('sent');
    expect(await router.next()).toEqual({ from, text: ['still here'] });
  });

  it('lets one of two win a race for an ipc path', async () => {
    const endpoint = `ipc://${join(folder(), 'socket')}`;
    const both = [open('router'), open('router')].map((router) => router.bind(endpoint));
    const outcomes = await Promise.allSettled(both);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  it('does not steal an ipc path from another process, and takes it over once that is dead', async () => {
    const endpoint = `ipc://${join(folder(), 'socket')}`;
    const child = start(
      `import { Router } from 'zeromq';
       const router = new Router();
       await router.bind(process.argv[1]);
       console.log('bound');
       await router.receive();`,
      endpoint,
    );
    await child.line();
    expect(await failureOf(open('router').bind(endpoint))).toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
    });
    await child.kill();
    expect(await open('router').bind(endpoint)).toBe(endpoint);
  });

  it('works again at once on an ipc path that was just closed', async () => {
    const endpoint = `ipc://${join(folder(), 'socket')}`;
    for (let round = 0; round < 20; round++) {
      const { router, dealer, real } = await connected(endpoint);
      expect(real).toBe(endpoint);
      router.socket.close(1000);
      dealer.socket.close(0);
    }
  });

  it('does not delete a file', async () => {
    const path = join(folder(), 'precious');
    writeFileSync(path, 'data');
    const error = await failureOf(open('router').bind(`ipc://${path}`));
    expect(error).toMatchObject({ code: 'ERR_BIND_FAILED' });
    expect(error.message).toMatch(/not a socket/);
  });

  it.each([
    ['tcp://192.0.2.1:*', 'ERR_BIND_FAILED', /no such address/],
    ['tcp://nonsense0:*', 'ERR_BIND_FAILED', /no such address/],
    ['ipc:///nonexistent-folder/socket', 'ERR_BIND_FAILED', /folder does not exist/],
    ['tcp://127.0.0.1:99999', 'ERR_INVALID_ENDPOINT', /65535/],
  ])('to %s fails with a hint', async (endpoint, code, hint) => {
    const error = await failureOf(open('router').bind(endpoint));
    expect(error.code).toBe(code);
    expect(error.message).toContain(endpoint);
    expect(error.message).toMatch(hint);
  });

  it.each([true, false])('to IPv6 works beside IPv4, IPv6 first: %s', async (ipv6First) => {
    const router = open('router');
    const endpoints = ['tcp://[::1]:*', 'tcp://127.0.0.1:*'];
    for (const endpoint of ipv6First ? endpoints : endpoints.toReversed()) {
      const real = await router.bind(endpoint);
      expect(real.startsWith(endpoint.slice(0, -1))).toBe(true);
      const dealer = open('dealer');
      dealer.socket.connect(real);
      await dealer.send('', real);
      expect((await router.next()).text).toEqual([real]);
    }
  });
});
