// A NATS client that writes to a bucket in memory, each write acknowledged.
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { now } from '../harness/clock.js';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const connection = await connect({ servers: `127.0.0.1:${options.port}` });
const bucket = await new Kvm(connection).create('bench', { storage: 'memory', timeout: 60_000 });
const value = Buffer.alloc(options.bytes, 'x');
let count = 0;
let revision = 0;

async function put() {
  revision = Math.max(revision, await bucket.put(`bench.${count++ % options.keys}`, value));
}

ready(
  {},
  {
    measure: async (load) => {
      const begin = now();
      const result = await measure(load, put);
      return { ...result, begin, revision };
    },
    write: async ({ count: total, inFlight }) => {
      let left = total;
      const lane = async () => {
        while (left-- > 0) await put();
      };
      await Promise.all(Array.from({ length: inFlight }, lane));
      return revision;
    },
  },
);
