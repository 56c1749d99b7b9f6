// Our Paranoid Pirate workers, several in one process: each replies with what it got.
import { ParanoidPirateWorker } from 'unsinkable';
import { options, ready } from '../harness/role.js';

await Promise.all(
  Array.from({ length: options.count }, () => {
    const worker = new ParanoidPirateWorker((request) => request.body);
    worker.connect(options.endpoint);
    return worker.ready();
  }),
);
ready();
