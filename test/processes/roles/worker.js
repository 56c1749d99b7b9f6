/**
 * A worker as a process of its own. It replies after `delay` milliseconds; if told to hold, when it
 * is given a line on stdin; if told to block, likewise, but with its event loop standing still.
 * SIGTERM: finish the request in hand and end.
 */
import { once } from 'node:events';
import { readSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { MajordomoWorker } from 'unsinkable';
import { digestOf, recorder, settings, tell } from './common.js';

/**
 * @type {{ name: string, endpoint: string, history: string, delay: number,
 *   mode: 'delay' | 'hold' | 'block', options: import('unsinkable').WorkerOptions }}
 */
const { name, endpoint, history, delay, mode, options } = settings();
const record = recorder(history);

async function release() {
  if (mode === 'delay') await setTimeout(delay);
  else if (mode === 'block') readSync(0, Buffer.alloc(64));
  else await once(process.stdin.unref(), 'data');
}

const worker = new MajordomoWorker(
  'digest',
  async (request) => {
    /** @type {{ id: string, payload: string }} */
    const { id, payload } = request.json();
    record({ type: 'handled', id, worker: name });
    // Blocking outside of the receive turn: the reply leaves before anything else is received.
    if (mode === 'block') await setImmediate();
    tell({ type: 'handling', id });
    await release();
    return JSON.stringify({ id, worker: name, digest: digestOf(payload) });
  },
  options,
);
for (const type of /** @type {const} */ (['ready', 'brokerLost', 'replyDropped'])) {
  worker.on(type, tell);
}
process.once('SIGTERM', () => {
  void worker.close();
  tell({ type: 'closing' });
});
worker.connect(endpoint);
