// A client that sends one request when it is told to.
import { MajordomoClient } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const client = new MajordomoClient(options.client);
client.connect(options.endpoint);
await client.ready();

ready(
  {},
  {
    // The broker finds the loss: a client that tried again first would hide how long that took.
    ask: async (trial) => {
      await client.request('hold', String(trial), { timeout: 60_000, attemptTimeout: 60_000 });
    },
  },
);
