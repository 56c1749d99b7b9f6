/** Watches over real sockets: what a loop is told. */
import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { CloneChange } from '../../src/clone/index.ts';
import {
  connect,
  failureOf,
  follow,
  makeServer,
  ownEndpoint,
  shows,
  startServer,
  until,
} from './shells.ts';

/** Reads a watch from now on. */
function reading(watch: AsyncIterable<CloneChange<string>>): string[] {
  const lines: string[] = [];
  void (async () => {
    for await (const { type, key, value } of watch) lines.push(`${type} ${key} ${value ?? ''}`);
    lines.push('end');
  })();
  return lines;
}

describe('a watch tells', () => {
  test('each change under its subtree, in order', async () => {
    const { endpoint } = await startServer();
    const [writer, reader] = [await follow(endpoint), await follow(endpoint)];
    const lines = reading(reader.watch('/a/'));
    await writer.set('/a/x', '1');
    await writer.set('/b', '2');
    await writer.set('/a/x', '3');
    await writer.delete('/a/x');
    await writer.set('/a/y', '4', { ttl: 50 });
    await until(() => expect(lines).toHaveLength(5));
    await writer.set('/a/z', '5');
    await writer.clear('/a/');
    await until(() => expect(lines).toHaveLength(7));
    expect(lines).toEqual([
      'set /a/x 1',
      'set /a/x 3',
      'deleted /a/x ',
      'set /a/y 4',
      'deleted /a/y ',
      'set /a/z 5',
      'deleted /a/z ',
    ]);
    await reader.close();
    await until(() => expect(lines.at(-1)).toBe('end'));
  });

  test('what is there already, if asked, and nothing twice', async () => {
    const { endpoint } = await startServer();
    const [writer, reader] = [await follow(endpoint), await follow(endpoint)];
    await writer.set('/a', '1');
    await writer.set('/b/c', '2');
    await until(() => expect(reader.size).toBe(2));
    const all = reading(reader.watch('', { initial: true }));
    const some = reading(reader.watch('/b/', { initial: true }));
    const one = reading(reader.watch('/a'));
    await writer.set('/a', '3');
    await until(() => expect(all).toEqual(['set /a 1', 'set /b/c 2', 'set /a 3']));
    expect(some).toEqual(['set /b/c 2']);
    expect(one).toEqual(['set /a 3']);
  });

  test('what is different after a server began anew', async () => {
    const { server, endpoint } = await startServer({}, ownEndpoint());
    const client = await follow(endpoint);
    await client.set('/gone', '1');
    await client.set('/back', '2');
    const lines = reading(client.watch());
    await server.close();
    await makeServer().bind(endpoint);
    await until(() => expect(lines.toSorted()).toEqual(['deleted /back ', 'deleted /gone ']));
    await client.set('/back', '3');
    await until(() => expect(lines.at(-1)).toBe('set /back 3'));
  });

  test('a slow reader the last of each key, and so the right map', async () => {
    const { endpoint } = await startServer();
    const [writer, reader] = [await follow(endpoint), await follow(endpoint)];
    const watch = reader.watch('', { bufferLimit: 10 });
    for (let round = 0; round < 50; round++) {
      await Promise.all([
        writer.set(`/k/${round % 7}`, `${round}`),
        round % 5 === 4 ? writer.delete(`/k/${(round * 3) % 7}`) : undefined,
      ]);
    }
    await shows(reader, Object.fromEntries(writer));
    const map = new Map<string, string>();
    let missed = 0;
    const done = (async () => {
      for await (const change of watch) {
        if (change.type === 'set') map.set(change.key, change.value);
        else map.delete(change.key);
        missed += change.missed;
      }
    })();
    await reader.close();
    await done;
    expect(Object.fromEntries(map)).toEqual(Object.fromEntries(writer));
    expect(missed).toBeGreaterThan(0);
  });

  test('nobody after its signal, of which many may have the same', async () => {
    const { endpoint } = await startServer();
    const client = await follow(endpoint);
    const unconnected = connect<string>(ownEndpoint(), { codec: 'text' });
    const controller = new AbortController();
    const { signal } = controller;
    const ends = Array.from({ length: 20 }, () => [
      failureOf(client.watch('', { signal }).next()),
      failureOf(unconnected.synchronised({ signal })),
      failureOf(unconnected.update('/a', () => 'x', { signal })),
    ]).flat();
    // Node warns of a leak beyond ten.
    expect(getEventListeners(signal, 'abort').length).toBeLessThan(5);
    controller.abort();
    for (const end of ends) expect(await end).toMatchObject({ code: 'ERR_CANCELLED' });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
});
