// Our Clone client as a writer, with the ordinary promise API. It follows a part that it does not write to.
import { CloneClient } from 'unsinkable';
import { now } from '../harness/clock.js';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const client = new CloneClient({ subtree: '/elsewhere/', ...options.client });
client.connect(options.endpoint);
await client.synchronised({ timeout: 60_000 });
const value = Buffer.alloc(options.bytes, 'x');
let count = 0;
let revision = 0;

async function set() {
  ({ revision } = await client.set(`/bench/${count++ % options.keys}`, value));
}

ready(
  {},
  {
    measure: async (load) => {
      const begin = now();
      const result = await measure(load, set);
      return { ...result, begin, revision };
    },
    write: async ({ count: total, inFlight }) => {
      let left = total;
      const lane = async () => {
        while (left-- > 0) await set();
      };
      await Promise.all(Array.from({ length: inFlight }, lane));
      return revision;
    },
    /** From now on one each so many milliseconds. */
    every: (milliseconds) => void setInterval(() => void set(), milliseconds),
  },
);
