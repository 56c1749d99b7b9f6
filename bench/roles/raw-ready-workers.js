// Nothing but zeromq.js: several workers in one process that say they are ready, and send back what they get.
import { Dealer } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

for (let worker = 0; worker < options.count; worker++) {
  const socket = rawSocket(Dealer);
  socket.connect(options.endpoint);
  socket.send([Buffer.of(1)]);
  void forEachMessage(socket, (frames) => socket.send(frames));
}
ready();
