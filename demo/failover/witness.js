// @ts-check
/** The witness of this demo: `node demo/failover/witness.js ENDPOINT STORE`. */
import { WitnessServer } from 'unsinkable';
import { endWithParent, tell } from '../lifeline.js';

endWithParent();
const [, , bind = '', store = ''] = process.argv;
const witness = new WitnessServer({ store });
await tell({ type: 'ready', endpoint: await witness.bind(bind) });
