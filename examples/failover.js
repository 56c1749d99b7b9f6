// @ts-check
// A pair of brokers and their witness. The one that serves is taken away in the middle of the day: the client
// waits a moment and notices nothing else, and what was charged before is not charged again.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BinaryStar,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  WitnessServer,
} from 'unsinkable';

// Epochs outlive everything else: each server keeps its own.
const folder = await mkdtemp(join(tmpdir(), 'pair-'));
const witness = new WitnessServer({ store: join(folder, 'witness.epochs') });
const lease = await witness.bind(`ipc://${folder}/witness`);

/**
 * One of the pair.
 * @param {'primary' | 'backup'} role
 * @param {'primary' | 'backup'} other
 */
async function open(role, other) {
  const star = new BinaryStar({
    role,
    peer: `ipc://${folder}/${other}.pair`,
    witness: lease,
    store: join(folder, `${role}.epochs`),
  });
  star.on('becameActive', () => console.log(`the ${role} serves`));
  const broker = new MajordomoBroker({ failover: star });
  await star.bind(`ipc://${folder}/${role}.pair`);
  const endpoint = await broker.bind(`ipc://${folder}/${role}`);
  return { endpoint, star, broker };
}

const primary = await open('primary', 'backup');
const backup = await open('backup', 'primary');
const both = [primary.endpoint, backup.endpoint];

let receipts = 0;
const worker = new MajordomoWorker('charge', (request) => {
  return `receipt ${++receipts} for ${request.text()}`;
});
worker.connect(both);

const client = new MajordomoClient();
client.connect(both);
const order = { idempotencyKey: '4711' };
console.log((await client.request('charge', '20 EUR', order)).text());

for (const role of [primary.broker, primary.star]) await role.close();

// The reply was with the backup before it was with the client.
console.log((await client.request('charge', '20 EUR', order)).text());
console.log((await client.request('charge', '5 EUR', { idempotencyKey: '4712' })).text());

for (const role of [client, worker, backup.broker, backup.star, witness]) await role.close();
await rm(folder, { recursive: true });
