// A publisher to a JetStream with a file store, each message acknowledged.
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const connection = await connect({ servers: `127.0.0.1:${options.port}` });
const manager = await jetstreamManager(connection);
await manager.streams.add({ name: 'requests', subjects: ['later'], storage: 'file' });
const stream = jetstream(connection, { timeout: 30_000 });
const body = Buffer.alloc(options.bytes, 'x');

ready({}, { submit: (load) => measure(load, () => stream.publish('later', body)) });
