// @ts-check
/** One of the demo's worker processes: `node demo/worker.js ENDPOINT`. It will be killed. */
import { MajordomoWorker } from 'unsinkable';
import { endWithParent, tell } from './lifeline.js';
import { sha256 } from './sha256.js';

endWithParent();
const endpoint = process.argv[2] ?? '';
let requests = 0;

const worker = new MajordomoWorker(
  'sha256',
  async (request) => {
    const number = requests++;
    void tell({ type: 'started', request: number });
    const hash = await sha256(request.bytes());
    // Before the reply: a request that was not told as ended cannot have been answered.
    await tell({ type: 'ended', request: number });
    return hash;
  },
  { concurrency: 4 },
);
worker.connect(endpoint);
await worker.ready();
await tell({ type: 'ready', endpoint });
