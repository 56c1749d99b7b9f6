// A worker for large bodies: takes them, or makes them.
import { MajordomoWorker } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const take = (request) => String(request.body[0].length);
const make = (request) => Buffer.alloc(Number(request.text()));
for (const [service, handler] of Object.entries({ take, make })) {
  const worker = new MajordomoWorker(service, handler, options.worker);
  worker.connect(options.endpoint);
  await worker.ready();
}
ready();
