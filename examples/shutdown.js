// @ts-check
// A worker is replaced under load: it finishes what it has, and no request fails.
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

/** @param {string} name */
function startWorker(name) {
  const worker = new MajordomoWorker('who', async () => {
    await delay(5);
    return name;
  });
  worker.connect(endpoint);
  return worker;
}

const old = startWorker('old');
const client = new MajordomoClient();
client.connect(endpoint);

/** @type {Map<string, number>} */
const answers = new Map();
const requests = Array.from({ length: 100 }, async () => {
  const name = (await client.request('who', '')).text();
  answers.set(name, (answers.get(name) ?? 0) + 1);
});

await requests[10];
// The new one first, so that the service is never without a worker.
const fresh = startWorker('new');
await fresh.ready();
await old.close();

await Promise.all(requests);
for (const [name, count] of answers) console.log(`the ${name} worker answered ${count}`);
console.log(
  [...answers.values()].reduce((sum, count) => sum + count, 0),
  'of 100 replies',
);

for (const role of [client, fresh, broker]) await role.close();
