// Our worker: replies with what it got.
import { MajordomoWorker } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const worker = new MajordomoWorker('echo', (request) => request.body, options.worker);
worker.connect(options.endpoint);
await worker.ready();
ready();
