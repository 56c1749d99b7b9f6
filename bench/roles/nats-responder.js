// A NATS service: replies with what it got.
import { connect } from '@nats-io/transport-node';
import { options, ready } from '../harness/role.js';

const connection = await connect({ servers: `127.0.0.1:${options.port}` });
connection.subscribe('echo', {
  callback: (error, message) => {
    if (error) throw error;
    message.respond(message.data);
  },
});
await connection.flush();
ready();
