// Our client, with the ordinary promise API.
import { MajordomoClient } from 'unsinkable';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const client = new MajordomoClient(options.client);
client.connect(options.endpoint);
await client.ready();
const body = Buffer.alloc(options.bytes, 'x');

ready(
  {},
  {
    measure: (load) =>
      measure(load, async () => {
        const reply = await client.request('echo', body);
        if (reply.body[0].length !== body.length) throw new Error('a wrong reply');
      }),
  },
);
