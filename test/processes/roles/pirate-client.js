/** A Lazy Pirate client as a process of its own: it asks until it may stop, and ends. */
import { LazyPirateClient } from 'unsinkable/pirate';
import { settings, tell } from './common.js';
import { keepAsking } from './digest.js';

/**
 * @type {{ name: string, endpoint: string, history: string,
 *   options: import('unsinkable/pirate').LazyPirateClientOptions }}
 */
const { endpoint, options, ...asker } = settings();

const client = new LazyPirateClient(options);
client.on('retry', tell);
client.on('replyRefused', tell);
client.connect(endpoint);
await keepAsking(asker, (body) => client.request(body));
await client.close();
