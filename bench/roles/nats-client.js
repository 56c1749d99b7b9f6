// A NATS client with its ordinary promise API.
import { connect } from '@nats-io/transport-node';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const connection = await connect({ servers: `127.0.0.1:${options.port}` });
const body = Buffer.alloc(options.bytes, 'x');

ready(
  {},
  {
    measure: (load) =>
      measure(load, async () => {
        const reply = await connection.request('echo', body, { timeout: 30_000 });
        if (reply.data.length !== body.length) throw new Error('a wrong reply');
      }),
  },
);
