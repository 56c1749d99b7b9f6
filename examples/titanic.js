// @ts-check
// A report is ordered today and collected tomorrow: in between the customer has hung up, and the Titanic and its
// broker were shut down. Nobody who makes reports was even there when it was ordered.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MajordomoBroker, MajordomoWorker } from 'unsinkable';
import { Titanic, TitanicClient } from 'unsinkable/titanic';

const store = await mkdtemp(join(tmpdir(), 'titanic-'));

/** Opens for the day: whatever the store has is there again. */
async function open() {
  const broker = new MajordomoBroker();
  const endpoint = await broker.bind('tcp://127.0.0.1:*');
  const titanic = await Titanic.open(store);
  titanic.connect(endpoint);
  await titanic.ready();
  const client = new TitanicClient();
  client.connect(endpoint);
  return { broker, titanic, client, endpoint };
}

const today = await open();
const id = await today.client.submit('report', 'June');
console.log('ordered: it is on disk, and the id is all that the customer keeps');
console.log('is it there?', (await today.client.fetch(id)) !== undefined);
for (const role of [today.client, today.titanic, today.broker]) await role.close();

const tomorrow = await open();
const worker = new MajordomoWorker('report', (request) => `all went well in ${request.text()}`);
worker.connect(tomorrow.endpoint);

const report = await tomorrow.client.fetch(id, { wait: 60_000 });
console.log('collected:', report?.text());

// Until then it can be collected again; now it is gone for good.
await tomorrow.client.forget(id);
for (const role of [tomorrow.client, worker, tomorrow.titanic, tomorrow.broker]) await role.close();
await rm(store, { recursive: true });
