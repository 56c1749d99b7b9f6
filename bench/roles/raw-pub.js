// Nothing but zeromq.js: publishes updates of five frames, as 12/CHP does, to whoever has subscribed.
import { setImmediate as turn } from 'node:timers/promises';
import { Publisher } from 'zeromq';
import { now } from '../harness/clock.js';
import { rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

/** Updates between two turns of the event loop. */
const BATCH = 1000;

const socket = rawSocket(Publisher);
await socket.bind('tcp://127.0.0.1:*');
const value = Buffer.alloc(options.bytes, 'x');
let revision = 0;

function publish() {
  const sequence = Buffer.alloc(8);
  sequence.writeBigUInt64BE(BigInt(++revision));
  void socket.send([`/bench/${revision % options.keys}`, sequence, '', '', value]);
}

// A subscription takes a moment, and nobody says when it has arrived: whoever hears this one has subscribed.
let beat = setInterval(publish, 10);

ready(
  { endpoint: socket.lastEndpoint },
  {
    measure: async ({ seconds }) => {
      clearInterval(beat);
      const begin = now();
      const before = revision;
      while (now() - begin < seconds * 1e9) {
        for (let count = 0; count < BATCH; count++) publish();
        await turn();
      }
      return { begin, total: revision - before, revision };
    },
    write: async ({ count }) => {
      clearInterval(beat);
      for (let left = count; left > 0; left--) {
        publish();
        if (left % BATCH === 0) await turn();
      }
      return revision;
    },
  },
);
