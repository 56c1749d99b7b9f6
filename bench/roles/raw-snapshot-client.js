// Nothing but zeromq.js: asks for a map, and has it when all has come.
import { Dealer } from 'zeromq';
import { now } from '../harness/clock.js';
import { forgetPeak, memory } from '../harness/process-usage.js';
import { rawSocket } from '../harness/raw-socket.js';
import { options, ready } from '../harness/role.js';

const map = new Map();

async function load() {
  forgetPeak(process.pid);
  const before = memory(process.pid).resident;
  const begin = now();
  const socket = rawSocket(Dealer);
  socket.connect(options.endpoint);
  await socket.send(['ICANHAZ?', '']);
  for (;;) {
    const [frame, , , , value] = await socket.receive();
    const key = frame.toString();
    if (key === 'KTHXBAI') break;
    map.set(key, value);
  }
  const milliseconds = (now() - begin) / 1e6;
  return { milliseconds, size: map.size, peak: memory(process.pid).peak, before };
}

ready({}, { load });
