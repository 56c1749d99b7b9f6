// A client that sends or fetches one large body at a time.
import { MajordomoClient } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const client = new MajordomoClient(options.client);
client.connect(options.endpoint);
await client.ready();

ready(
  {},
  {
    request: async (bytes) => {
      const reply = await client.request('take', Buffer.alloc(bytes));
      if (reply.text() !== String(bytes)) throw new Error('a wrong reply');
    },
    reply: async (bytes) => {
      const reply = await client.request('make', String(bytes));
      if (reply.body[0].length !== bytes) throw new Error('a wrong reply');
    },
  },
);
