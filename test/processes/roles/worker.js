/**
 * A worker as a process of its own. If told to stream, it writes parts until nobody waits for the reply
 * any more, and tells when it has to wait; its other modes are in `digest.js`. SIGTERM: finish the
 * requests in hand and end.
 */
import { MajordomoWorker } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';
import { digester } from './digest.js';

/**
 * @type {{ name: string, endpoint: string, history: string, delay?: number,
 *   mode?: 'delay' | 'hold' | 'block' | 'watch' | 'stream',
 *   options: import('unsinkable/majordomo').WorkerOptions }}
 */
const { endpoint, options, ...handling } = settings();

/** @param {import('unsinkable/majordomo').WorkerRequest} request */
async function stream(request) {
  tell({ type: 'handling' });
  for (let bytes = 0; bytes < 128 * 2 ** 20; bytes += 32_000) {
    const waiting = setTimeout(() => tell({ type: 'waiting', bytes }), 100);
    await request.write(new Uint8Array(32_000));
    clearTimeout(waiting);
    if (request.signal.aborted) return tell({ type: 'aborted', bytes });
  }
}

const handler = handling.mode === 'stream' ? stream : digester(handling);
const worker = new MajordomoWorker('digest', handler, options);
for (const type of /** @type {const} */ (['connecting', 'ready', 'brokerLost', 'replyDropped'])) {
  worker.on(type, tell);
}
process.once('SIGTERM', () => {
  void worker.close();
  tell({ type: 'closing' });
});
worker.connect(endpoint);
