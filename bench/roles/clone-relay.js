// Stands between a server and one client, and loses a message of the server's when it is told to.
import { Dealer, Router } from 'zeromq';
import { now } from '../harness/clock.js';
import { forEachMessage, rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const front = rawSocket(Router);
const back = rawSocket(Dealer);
await front.bind('tcp://127.0.0.1:*');
back.connect(options.endpoint);
let client;
let lost;

void forEachMessage(front, ([address, ...frames]) => {
  client = address;
  void back.send(frames);
});
void forEachMessage(back, (frames) => {
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
  // A small one is a beat, which says nothing new.
  if (lost === undefined || bytes < options.least) {
    void front.send([client, ...frames]);
    return;
  }
  lost(now());
  lost = undefined;
});

ready({ endpoint: front.lastEndpoint }, { lose: () => new Promise((resolve) => (lost = resolve)) });
