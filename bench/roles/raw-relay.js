// Nothing but zeromq.js: ROUTER for the client, DEALER for the worker, frames passed on as they are.
import { Dealer, Router } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { ready } from '../harness/role.js';

const front = rawSocket(Router);
const back = rawSocket(Dealer);
front.bindSync('tcp://127.0.0.1:*');
back.bindSync('tcp://127.0.0.1:*');
void forEachMessage(front, (frames) => back.send(frames));
void forEachMessage(back, (frames) => front.send(frames));
ready({ front: front.lastEndpoint, back: back.lastEndpoint });
