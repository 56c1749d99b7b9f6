// A client of plain MDP 0.1 as others write it: one DEALER, many requests in flight, no ids.
import { Dealer } from 'zeromq';
import { measureInOrder } from '../harness/load.js';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
const request = ['', 'MDPC01', 'echo', Buffer.alloc(options.bytes, 'x')];
let reply;
void forEachMessage(socket, (frames) => {
  if (frames[3].length !== options.bytes) throw new Error('a wrong reply');
  reply();
});

ready(
  {},
  {
    measure: (load) => {
      const run = measureInOrder(load, () => socket.send(request));
      reply = run.reply;
      return run.finished;
    },
  },
);
