/**
 * A worker as a process of its own. It replies after `delay` milliseconds; if told to hold, when it
 * is given a line on stdin; if told to block, likewise, but with its event loop standing still; if told
 * to watch, when nobody waits for the reply any more; if told to stream, it writes parts until then, and
 * tells when it has to wait. SIGTERM: finish the requests in hand and end.
 */
import { once } from 'node:events';
import { readSync } from 'node:fs';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { MajordomoWorker } from 'unsinkable';
import { digestOf, recorder, settings, tell } from './common.js';

/**
 * @type {{ name: string, endpoint: string, history: string, delay: number,
 *   mode: 'delay' | 'hold' | 'block' | 'watch' | 'stream',
 *   options: import('unsinkable').WorkerOptions }}
 */
const { name, endpoint, history, delay, mode, options } = settings();
const record = recorder(history);
// Once looked at, stdin can no longer be read while the event loop stands still.
if (mode !== 'block') process.stdin.setMaxListeners(0).unref();

/** @param {AbortSignal} signal */
async function release(signal) {
  if (mode === 'delay') await setTimeout(delay);
  else if (mode === 'block') readSync(0, Buffer.alloc(64));
  else if (mode === 'hold') await once(process.stdin, 'data');
  else if (!signal.aborted) await once(signal, 'abort');
}

/** @param {import('unsinkable').WorkerRequest} request */
async function streamTo(request) {
  for (let bytes = 0; bytes < 128 * 2 ** 20; bytes += 32_000) {
    const waiting = globalThis.setTimeout(() => tell({ type: 'waiting', bytes }), 100);
    await request.write(new Uint8Array(32_000));
    clearTimeout(waiting);
    if (request.signal.aborted) return tell({ type: 'aborted', bytes });
  }
}

const worker = new MajordomoWorker(
  'digest',
  async (request) => {
    /** @type {{ id: string, payload: string }} */
    const { id, payload } = request.json();
    const { attempt, signal } = request;
    record({ type: 'handled', id, worker: name });
    // Blocking outside of the receive turn: the reply leaves before anything else is received.
    if (mode === 'block') await setImmediate();
    tell({ type: 'handling', id, attempt });
    if (mode === 'stream') return await streamTo(request);
    await release(signal);
    if (signal.aborted) tell({ type: 'aborted', id });
    return JSON.stringify({ id, worker: name, digest: digestOf(payload) });
  },
  options,
);
for (const type of /** @type {const} */ (['connecting', 'ready', 'brokerLost', 'replyDropped'])) {
  worker.on(type, tell);
}
process.once('SIGTERM', () => {
  void worker.close();
  tell({ type: 'closing' });
});
worker.connect(endpoint);
