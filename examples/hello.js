// @ts-check
// One broker, one worker and one client in one process: the shortest whole program.
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

const worker = new MajordomoWorker('upper', (request) => request.text().toUpperCase());
worker.connect(endpoint);

const client = new MajordomoClient();
client.connect(endpoint);

// Nobody has to wait for the worker: the broker keeps the request until it is there.
const reply = await client.request('upper', 'hello');
console.log(reply.text());

for (const role of [client, worker, broker]) await role.close();
