// A worker that tells when it was given a request, and holds it until it is told to reply.
import { MajordomoWorker } from 'unsinkable';
import { now } from '../harness/clock.js';
import { options, ready, tell } from '../harness/role.js';

let release;
const worker = new MajordomoWorker(
  'hold',
  async (request) => {
    const at = now();
    const released = new Promise((resolve) => (release = resolve));
    tell({ type: 'held', trial: Number(request.text()), at });
    await released;
    return '';
  },
  options.worker,
);
worker.connect(options.endpoint);
await worker.ready();
ready({}, { release: () => release() });
