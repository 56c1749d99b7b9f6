// Nothing but zeromq.js: a map that follows what is published.
import { Subscriber } from 'zeromq';
import { now } from '../harness/clock.js';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const map = new Map();
const socket = rawSocket(Subscriber);
socket.subscribe();
socket.connect(options.endpoint);
let revision = 0;
let heard;
const isHeard = new Promise((resolve) => (heard = resolve));
void forEachMessage(socket, ([key, sequence, , , value]) => {
  map.set(key.toString(), value);
  revision = Number(sequence.readBigUInt64BE());
  heard();
});
await isHeard;

ready(
  {},
  {
    reached: (wanted) =>
      new Promise((resolve) => {
        const look = () => {
          if (revision >= wanted) resolve(now());
          else setTimeout(look, 1);
        };
        look();
      }),
  },
);
