// @ts-check
// Asked twice, done once: requests under one key share one execution and its reply.
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

let charged = 0;
const worker = new MajordomoWorker('charge', (request) => {
  charged++;
  return `receipt ${charged} for ${request.text()}, order ${request.idempotencyKey}`;
});
worker.connect(endpoint);

const client = new MajordomoClient();
client.connect(endpoint);

// The same order comes twice at once: the second joins the first. Later it gets the stored reply.
const order = { idempotencyKey: '4711' };
const [one, two] = await Promise.all([
  client.request('charge', '20 EUR', order),
  client.request('charge', '20 EUR', order),
]);
const later = await client.request('charge', '20 EUR', order);
console.log(one.text());
console.log(`three replies, all the same: ${new Set([one, two, later].map(textOf)).size === 1}`);

// Another key is another order.
console.log((await client.request('charge', '5 EUR', { idempotencyKey: '4712' })).text());

/** @param {import('unsinkable').Reply} reply */
function textOf(reply) {
  return reply.text();
}

for (const role of [client, worker, broker]) await role.close();
