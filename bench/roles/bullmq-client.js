// A BullMQ client: adds a job, waits until it is finished, and removes it: BullMQ cannot remove it by
// itself, as whoever waits would find nothing.
import { Queue, QueueEvents } from 'bullmq';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const connection = { path: options.path, maxRetriesPerRequest: null };
const queue = new Queue('echo', { connection });
const events = new QueueEvents('echo', { connection });
queue.setMaxListeners(0);
events.setMaxListeners(0);
await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
const body = 'x'.repeat(options.bytes);

ready(
  {},
  {
    cycle: (load) =>
      measure(load, async () => {
        const job = await queue.add('echo', { body });
        const result = await job.waitUntilFinished(events, 60_000);
        await job.remove();
        if (result.body.length !== body.length) throw new Error('a wrong result');
      }),
  },
);
