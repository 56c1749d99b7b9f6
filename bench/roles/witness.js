// The witness of a pair.
import { WitnessServer } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const witness = new WitnessServer({ store: options.store });
ready({ endpoint: await witness.bind(options.endpoint) });
