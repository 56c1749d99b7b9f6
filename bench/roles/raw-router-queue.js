// Nothing but zeromq.js: ROUTER for clients, ROUTER for workers, each worker has one request at a time.
// It forgets what it has given away, and who has died: what a queue costs that promises nothing.
import { Router } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { ready } from '../harness/role.js';

const front = rawSocket(Router);
const back = rawSocket(Router);
front.bindSync('tcp://127.0.0.1:*');
back.bindSync('tcp://127.0.0.1:*');
const idle = [];
const waiting = [];
const dispatch = () => {
  while (idle.length > 0 && waiting.length > 0) back.send([idle.shift(), ...waiting.shift()]);
};
void forEachMessage(front, (frames) => {
  waiting.push(frames);
  dispatch();
});
void forEachMessage(back, ([worker, ...reply]) => {
  idle.push(worker);
  if (reply.length > 1) front.send(reply);
  dispatch();
});
ready({ front: front.lastEndpoint, back: back.lastEndpoint });
