/**
 * A client of a Titanic as a process of its own: it submits, fetches and closes in all ways until a line
 * comes on stdin, fetches what it has left open, and ends. It ends at once when nobody holds its stdin.
 */
import { setTimeout } from 'node:timers/promises';
import { TitanicClient } from 'unsinkable/titanic';
import { settings, tell } from './common.js';
import { Asker, Failure } from './titanic-asker.js';

/**
 * @type {{ endpoint: string, history: string, concurrency?: number, pause?: number, ways?: string[],
 *   options: import('unsinkable/titanic').TitanicClientOptions }}
 */
const {
  endpoint,
  history,
  concurrency = 12,
  pause = 10,
  ways = ['call', 'call', 'call', 'call', 'keep', 'late', 'regret', 'fail', 'drop'],
  options,
} = settings();

const stop = new AbortController();
process.stdin.on('end', () => process.exit()).once('data', () => stop.abort());

const client = new TitanicClient(options);
client.on('retry', tell);
client.connect(endpoint);
const asker = new Asker(client, history);
/** What nobody closes. @type {string[]} */
const kept = [];

/** What can be done with one request. @type {Readonly<Record<string, () => Promise<unknown>>>} */
const WAYS = {
  call: async () => {
    const id = await asker.submit({ work: 10, copies: 1 + Math.floor(Math.random() * 3) });
    await asker.fetch(id);
    await asker.fetch(id, 0);
    await asker.close(id);
    await asker.fetch(id, 0);
  },
  keep: async () => {
    kept.push(await asker.submit({ work: 30 }));
    await asker.fetch(kept[Math.floor(Math.random() * kept.length)] ?? '');
  },
  late: async () => {
    const id = await asker.submit({ delay: 300, copies: 2 });
    await asker.fetch(id, 0);
    await asker.fetch(id);
    await asker.close(id);
  },
  // Closed before it is due: it is never executed.
  regret: async () => {
    const id = await asker.submit({ delay: 1000 });
    await asker.close(id);
    await setTimeout(1200);
    await asker.fetch(id, 0);
  },
  fail: async () => {
    const id = await asker.submit({ fate: 'dead', retries: 1 });
    await asker.fetch(id);
    await asker.fetch(id);
    await asker.close(id);
  },
  // Closed while it is executed.
  drop: async () => await asker.close(await asker.submit({ work: 100 })),
};

async function loop() {
  while (!stop.signal.aborted) {
    const way = ways[Math.floor(Math.random() * ways.length)] ?? 'call';
    try {
      await WAYS[way]?.();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
    }
    await setTimeout(pause);
  }
}

await Promise.all(Array.from({ length: concurrency }, loop));
await Promise.all(kept.map((id) => asker.fetch(id)));
await client.close();
process.exit();
