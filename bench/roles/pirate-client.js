// Our Lazy Pirate client, with the ordinary promise API.
import { LazyPirateClient } from 'unsinkable';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const client = new LazyPirateClient(options.client);
client.connect(options.endpoint);
const body = Buffer.alloc(options.bytes, 'x');

ready(
  {},
  {
    measure: (load) =>
      measure(load, async () => {
        const reply = await client.request(body);
        if (reply.body[0].length !== body.length) throw new Error('a wrong reply');
      }),
  },
);
