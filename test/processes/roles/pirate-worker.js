/** A Pirate worker as a process of its own. SIGTERM: finish the request in hand and end. */
import { ParanoidPirateWorker, SimplePirateWorker } from 'unsinkable/pirate';
import { settings, tell } from './common.js';
import { digester } from './digest.js';

/**
 * @type {{ name: string, protocol: 'simple' | 'paranoid', endpoint: string, history: string,
 *   options: import('unsinkable/pirate').ParanoidPirateWorkerOptions }}
 */
const { protocol, endpoint, options, ...handling } = settings();

const Worker = protocol === 'simple' ? SimplePirateWorker : ParanoidPirateWorker;
const worker = new Worker(digester(handling), options);
for (const type of /** @type {const} */ (['connecting', 'ready', 'queueLost', 'replyDropped'])) {
  worker.on(type, tell);
}
process.once('SIGTERM', () => {
  void worker.close();
  tell({ type: 'closing' });
});
worker.connect(endpoint);
