/** A witness as a process of its own; it tells every event. It ends when nobody holds its stdin any more. */
import { WitnessServer } from 'unsinkable/failover';
import { settings, tell } from './common.js';

/** @type {{ endpoint: string, options: import('unsinkable/failover').WitnessOptions }} */
const { endpoint, options } = settings();

const witness = new WitnessServer(options);
witness.on('event', tell);
process.stdin.on('end', () => process.exit()).resume();
tell({ type: 'bound', endpoint: await witness.bind(endpoint) });
