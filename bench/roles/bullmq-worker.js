// A BullMQ worker: its result is what it got.
import { Worker } from 'bullmq';
import { options, ready } from '../harness/role.js';

const connection = { path: options.path, maxRetriesPerRequest: null };
const worker = new Worker('echo', async (job) => job.data, {
  connection,
  concurrency: options.concurrency,
});
await worker.waitUntilReady();
ready();
