// Nothing but zeromq.js: sends one large body at a time.
import { Dealer } from 'zeromq';
import { rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const socket = rawSocket(Dealer);
socket.connect(options.endpoint);

ready(
  {},
  {
    request: async (bytes) => {
      await socket.send(Buffer.alloc(bytes));
      const [reply] = await socket.receive();
      if (reply.toString() !== String(bytes)) throw new Error('a wrong reply');
    },
  },
);
