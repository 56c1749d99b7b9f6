// A map that follows a NATS bucket with a watch.
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';
import { now } from '../harness/clock.js';
import { forgetPeak, memory } from '../harness/process-usage.js';
import { options, ready } from '../harness/role.js';

const connection = await connect({ servers: `127.0.0.1:${options.port}` });
const bucket = await new Kvm(connection).open('bench');
const map = new Map();
let revision = 0;

/** Watches, and is done when all is there. An empty bucket would tell nothing. */
async function load() {
  forgetPeak(process.pid);
  const before = memory(process.pid).resident;
  const begin = now();
  const watched = await bucket.watch();
  await new Promise((resolve) => void follow(watched, resolve));
  const milliseconds = (now() - begin) / 1e6;
  return { milliseconds, size: map.size, peak: memory(process.pid).peak, before };
}

async function follow(watched, isLoaded) {
  for await (const entry of watched) {
    map.set(entry.key, entry.value);
    ({ revision } = entry);
    if (entry.delta === 0) isLoaded();
  }
}

function reached(wanted) {
  return new Promise((resolve) => {
    const look = () => {
      if (revision >= wanted) resolve(now());
      else setTimeout(look, 1);
    };
    look();
  });
}

if (!options.waits) await load();
ready({}, { load, reached });
