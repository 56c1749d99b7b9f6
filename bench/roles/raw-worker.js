// Nothing but zeromq.js: sends back what it gets.
import { Dealer } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
void forEachMessage(socket, (frames) => socket.send(frames));
ready();
