/** A broker as a process of its own; it tells every event. SIGTERM: drain and end. */
import { MajordomoBroker } from 'unsinkable';
import { settings, tell } from './common.js';

/** @type {{ endpoint: string, options: import('unsinkable').BrokerOptions }} */
const { endpoint, options } = settings();

const broker = new MajordomoBroker(options);
broker.on('event', tell);
process.once('SIGTERM', () => void broker.close());
tell({ type: 'bound', endpoint: await broker.bind(endpoint) });
