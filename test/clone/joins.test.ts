/**
 * Ten thousand clients come at the instant of a publish: what each shows first is what the server had then,
 * and none misses an update that comes after.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { seededRandom } from '../../src/core/random.ts';
import { CloneClient, CloneServer } from '../../src/clone/index.ts';
import { closing } from './shells.ts';
import { Loopback } from './loopback.ts';

const JOINS = 10_000;
const WAVE = 100;
const KEYS = 20;

test('10,000 joins at the instant of a publish miss nothing', { timeout: 120_000 }, async () => {
  const { environment } = new Loopback();
  const random = seededRandom(3);
  const server = closing(new CloneServer({ historyLimit: 50 }, environment));
  const endpoint = await server.bind('inproc://joins');
  const join = (): CloneClient<string> => {
    const client = new CloneClient({ codec: 'text', drainTimeout: 0 }, environment);
    client.connect(endpoint);
    return client;
  };
  const writer = closing(join());
  await writer.synchronised();

  /** What the map was after each update. */
  const truth = new Map([[0, '[]']]);
  const map = new Map<string, string>();
  const publish = async (count: number): Promise<void> => {
    const key = `/k/${Math.floor(random() * KEYS)}`;
    const isDelete = random() < 0.2 && map.has(key);
    const { revision } = await (isDelete ? writer.delete(key) : writer.set(key, `${count}`));
    if (isDelete) map.delete(key);
    else map.set(key, `${count}`);
    truth.set(revision, contentOf(map));
  };

  const first: { sequence: number; content: string }[] = [];
  for (let joined = 0; joined < JOINS; joined += WAVE) {
    const wave: CloneClient<string>[] = [];
    const publishing: Promise<void>[] = [];
    while (wave.length < WAVE) {
      // In the very turn in which it is published, before it or after it.
      if (random() < 0.5) publishing.push(publish(joined + wave.length));
      const client = join();
      wave.push(client);
      // What came in the same message as that may be there already: `at` says so.
      client.once('synchronised', () => {
        first.push({ sequence: client.at.sequence, content: contentOf(client) });
      });
      if (random() < 0.5) publishing.push(publish(joined + wave.length));
      if (random() < 0.7) await turn();
      // Their order is the order of the calls: so the truth is that of one after the other.
      await Promise.all(publishing.splice(0));
    }
    await Promise.all(wave.map((client) => client.synchronised({ timeout: 60_000 })));
    await publish(joined);
    const { sequence } = writer.at;
    while (wave.some((client) => client.at.sequence < sequence)) await turn();
    expect(new Set(wave.map(contentOf))).toEqual(new Set([contentOf(map)]));
    expect(wave.flatMap((client) => Object.keys(client.status().events))).not.toContain(
      'gapDetected',
    );
    await Promise.all(wave.map((client) => client.close()));
  }

  expect(first).toHaveLength(JOINS);
  const wrong = first.filter(({ sequence, content }) => truth.get(sequence) !== content);
  expect(wrong).toEqual([]);
  expect(new Set(first.map(({ sequence }) => sequence)).size).toBeGreaterThan(JOINS / 4);
});

function contentOf(map: ReadonlyMap<string, string>): string {
  return JSON.stringify([...map].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}
