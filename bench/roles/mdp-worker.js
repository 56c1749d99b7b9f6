// A worker of plain MDP 0.1 as others write it: one DEALER, one request at a time.
import { Dealer } from 'zeromq';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const MDPW01 = 'MDPW01';
const READY = '\x01';
const REQUEST = 2;
const REPLY = '\x03';
const HEARTBEAT = '\x04';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);
void forEachMessage(socket, ([, , command, ...rest]) => {
  if (command[0] === REQUEST) void socket.send(['', MDPW01, REPLY, ...rest]);
});
void socket.send(['', MDPW01, READY, 'echo']);
setInterval(() => void socket.send(['', MDPW01, HEARTBEAT]), 1000);
ready();
