// @ts-check
// Priorities go first; a deadline and a cancel reach the handler through its signal.
import { once } from 'node:events';
import { MajordomoBroker, MajordomoClient, MajordomoWorker, RequestError } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

const client = new MajordomoClient();
client.connect(endpoint);

// Nobody offers this service yet: the requests wait, and the urgent one passes the others.
/** @type {string[]} */
const order = [];
const requests = Promise.all([
  client.request('print', 'a report'),
  client.request('print', 'another report'),
  client.request('print', 'a ticket', { priority: 9 }),
]);
await client.ready();
const printer = new MajordomoWorker('print', (request) => void order.push(request.text()));
printer.connect(endpoint);
await requests;
console.log(order.join(', then '));

// A handler that would go on for ever stops when nobody waits any more.
const searcher = new MajordomoWorker('search', async ({ signal, timeLeft }) => {
  console.log(`the client waits for ${timeLeft <= 1000 ? 'at most a second' : 'long'}`);
  if (!signal.aborted) await once(signal, 'abort');
  console.log('the handler stopped');
});
searcher.connect(endpoint);

/** @param {Promise<unknown>} request */
async function codeOf(request) {
  try {
    await request;
    return 'replied';
  } catch (error) {
    if (error instanceof RequestError) return error.code;
    throw error;
  }
}

console.log(await codeOf(client.request('search', '', { timeout: 1000 })));

const controller = new AbortController();
setTimeout(() => controller.abort(), 500);
console.log(await codeOf(client.request('search', '', { signal: controller.signal })));

for (const role of [client, printer, searcher, broker]) await role.close();
