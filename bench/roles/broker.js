// Our broker.
import { MajordomoBroker } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const broker = new MajordomoBroker(options.broker);
const endpoint = await broker.bind('tcp://127.0.0.1:*');
ready({ endpoint }, { status: () => broker.status() });
