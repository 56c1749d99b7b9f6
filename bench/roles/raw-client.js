// Nothing but zeromq.js: one frame a request, no promises, no ids; replies come in order.
import { Dealer } from 'zeromq';
import { measureInOrder } from '../harness/load.js';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
const body = Buffer.alloc(options.bytes, 'x');
let reply;
void forEachMessage(socket, ([frame]) => {
  if (frame.length !== body.length) throw new Error('a wrong reply');
  reply();
});

ready(
  {},
  {
    measure: (load) => {
      const run = measureInOrder(load, () => socket.send(body));
      reply = run.reply;
      return run.finished;
    },
  },
);
