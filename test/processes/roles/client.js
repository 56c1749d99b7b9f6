/** A client as a process of its own: it asks until it may stop, and ends. */
import { MajordomoClient } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';
import { keepAsking } from './digest.js';

/**
 * @type {{ name: string, endpoint: string, history: string, requests?: number, concurrency?: number,
 *   options: import('unsinkable/majordomo').ClientOptions }}
 */
const { endpoint, options, ...asker } = settings();

const client = new MajordomoClient(options);
client.on('retry', tell);
client.on('ready', tell);
client.connect(endpoint);
await keepAsking(asker, (body) => client.request('digest', body));
await client.close();
