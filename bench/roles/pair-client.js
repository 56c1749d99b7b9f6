// A client of a pair that asks without end, each request under a key of its own, and tells the first reply from
// each broker that it comes to.
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoClient } from 'unsinkable';
import { now } from '../harness/clock.js';
import { options, ready, tell } from '../harness/role.js';

const client = new MajordomoClient({ ...options.client, timeout: 60_000, retries: 1000 });
let isNew = false;
client.on('ready', () => (isNew = true));
client.connect(options.endpoints);
await client.ready({ timeout: 60_000 });

let asked = 0;

async function lane() {
  for (;;) {
    const idempotencyKey = `${process.pid}/${asked++}`;
    await client.request('echo', idempotencyKey, { idempotencyKey });
    if (isNew) tell({ type: 'answered', at: now() });
    isNew = false;
    await delay(options.pause);
  }
}

for (let count = 0; count < options.inFlight; count++) void lane();
ready({}, { asked: () => asked });
