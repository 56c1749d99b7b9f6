// Our Clone server.
import { CloneServer } from 'unsinkable';
import { forgetPeak, memory } from '../harness/process-usage.js';
import { options, ready } from '../harness/role.js';

const server = new CloneServer(options.server);
const endpoint = await server.bind('tcp://127.0.0.1:*');

ready(
  { endpoint },
  {
    status: () => server.status(),
    forgetPeak: () => forgetPeak(process.pid),
    memory: () => memory(process.pid),
  },
);
