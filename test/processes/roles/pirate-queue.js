/** A queue as a process of its own; it tells every event. SIGTERM: drain and end. */
import { ParanoidPirateQueue, SimplePirateQueue } from 'unsinkable/pirate';
import { settings, tell } from './common.js';

/**
 * @type {{ protocol: 'simple' | 'paranoid', frontend: string, backend: string,
 *   options: import('unsinkable/pirate').ParanoidPirateQueueOptions }}
 */
const { protocol, frontend, backend, options } = settings();

const Queue = protocol === 'simple' ? SimplePirateQueue : ParanoidPirateQueue;
const queue = new Queue(options);
queue.on('event', tell);
process.once('SIGTERM', () => void queue.close());
await queue.bindFrontend(frontend);
await queue.bindBackend(backend);
tell({ type: 'bound', frontend: queue.frontend, backend: queue.backend });
