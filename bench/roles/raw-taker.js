// Nothing but zeromq.js: takes large bodies, and says how large.
import { Dealer } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
void forEachMessage(socket, ([address, body]) => socket.send([address, String(body.length)]));
ready();
