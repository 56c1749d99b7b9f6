// Our Clone client as a replica of everything. Tells what it repairs.
import { CloneClient } from 'unsinkable';
import { now } from '../harness/clock.js';
import { forgetPeak, memory } from '../harness/process-usage.js';
import { options, ready, tell } from '../harness/role.js';

const client = new CloneClient(options.client);
client.on('gapRepaired', ({ milliseconds, by }) =>
  tell({ type: 'gapRepaired', at: now(), milliseconds, by }),
);

/** Connects, and is done when all is there. */
async function load() {
  globalThis.gc?.();
  forgetPeak(process.pid);
  const before = memory(process.pid).resident;
  const begin = now();
  client.connect(options.endpoint);
  await client.synchronised({ timeout: 300_000 });
  const milliseconds = (now() - begin) / 1e6;
  return { milliseconds, size: client.size, peak: memory(process.pid).peak, before };
}

/** Resolves to the time at which it had this update. */
function reached(revision) {
  return new Promise((resolve) => {
    const look = () => {
      if (client.at.sequence >= revision) resolve(now());
      else setTimeout(look, 1);
    };
    look();
  });
}

if (!options.waits) await load();
ready({}, { load, reached });
