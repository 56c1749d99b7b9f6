// Nothing but zeromq.js: sends a map to whoever asks, five frames for each key, as 12/CHP does.
import { Router } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const map = new Map();
for (let index = 0; index < options.keys; index++) {
  map.set(`/bench/${index}`, Buffer.alloc(options.bytes, 'x'));
}
const socket = rawSocket(Router);
await socket.bind('tcp://127.0.0.1:*');
const sequence = Buffer.alloc(8);
void forEachMessage(socket, ([address]) => {
  for (const [key, value] of map) void socket.send([address, key, sequence, '', '', value]);
  void socket.send([address, 'KTHXBAI', sequence, '', '', '']);
});
ready({ endpoint: socket.lastEndpoint });
