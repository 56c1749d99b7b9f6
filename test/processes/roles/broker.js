/**
 * A broker as a process of its own; it tells every event, and for each line on stdin how much memory it
 * takes. SIGTERM: drain and end. It ends at once when nobody holds its stdin any more.
 */
import { MajordomoBroker } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';

/** @type {{ endpoint: string, options: import('unsinkable/majordomo').BrokerOptions }} */
const { endpoint, options } = settings();

const broker = new MajordomoBroker(options);
broker.on('event', tell);
process.once('SIGTERM', () => void broker.close());
process.stdin
  .on('data', () => tell({ type: 'memory', bytes: process.memoryUsage.rss() }))
  .on('end', () => process.exit())
  .unref();
tell({ type: 'bound', endpoint: await broker.bind(endpoint) });
