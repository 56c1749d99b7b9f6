// A client as others write it: one DEALER, many requests in flight, each behind an empty frame.
import { Dealer } from 'zeromq';
import { measureInOrder } from '../harness/load.js';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
const request = ['', Buffer.alloc(options.bytes, 'x')];
let reply;
void forEachMessage(socket, (frames) => {
  if (frames[1].length !== options.bytes) throw new Error('a wrong reply');
  reply();
});

ready(
  {},
  {
    // Replies of several workers may overtake each other by little: it is the rate that counts.
    measure: (load) => {
      const run = measureInOrder(load, () => socket.send(request));
      reply = run.reply;
      return run.finished;
    },
  },
);
