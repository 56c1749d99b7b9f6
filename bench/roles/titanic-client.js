// Our Titanic's client, with the ordinary promise API.
import { TitanicClient } from 'unsinkable';
import { measure } from '../harness/load.js';
import { options, ready } from '../harness/role.js';

const client = new TitanicClient();
client.connect(options.endpoint);
await client.ready();
const body = Buffer.alloc(options.bytes, 'x');
/** Far enough: these are stored, and not executed while anybody measures. */
const LATER = 24 * 3600 * 1000;

async function submit() {
  await client.submit('later', body, { delay: LATER });
}

ready(
  {},
  {
    submit: (load) => measure(load, submit),
    cycle: (load) =>
      measure(load, async () => {
        const reply = await client.call('echo', body, { wait: 60_000 });
        if (reply.bytes().length !== body.length) throw new Error('a wrong reply');
      }),
    /** So many more requests are stored; resolves when they are durable. */
    store: async ({ count, inFlight }) => {
      let left = count;
      async function slot() {
        while (left-- > 0) await submit();
      }
      await Promise.all(Array.from({ length: inFlight }, slot));
    },
  },
);
