// Many clients or workers in one process, which do nothing but stay connected.
import { MajordomoClient, MajordomoWorker } from 'unsinkable';
import { options, ready } from '../harness/role.js';

/** So many shake hands at a time. */
const SLICE = 50;

const peers = [];

function makePeer() {
  const peer =
    options.kind === 'worker'
      ? new MajordomoWorker('idle', () => '', options.peer)
      : new MajordomoClient(options.peer);
  peer.connect(options.endpoint);
  return peer;
}

ready(
  {},
  {
    add: async (count) => {
      for (let left = count; left > 0; left -= SLICE) {
        const slice = Array.from({ length: Math.min(SLICE, left) }, makePeer);
        peers.push(...slice);
        await Promise.all(slice.map((peer) => peer.ready({ timeout: 60_000 })));
      }
    },
  },
);
