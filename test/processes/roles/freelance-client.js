/**
 * A Freelance client as a process of its own: once all its servers are live it asks until it may stop, and
 * ends. What it tells of servers it tells with the time of day.
 */
import { FreelanceClient } from 'unsinkable/freelance';
import { settings, tell } from './common.js';
import { keepAsking } from './digest.js';

/**
 * @type {{ name: string, endpoints: string[], history: string,
 *   options: import('unsinkable/freelance').FreelanceClientOptions }}
 */
const { endpoints, options, ...asker } = settings();

const client = new FreelanceClient(options);
client.on('retry', tell);
for (const type of /** @type {const} */ (['serverLive', 'serverLost'])) {
  client.on(type, (event) => tell({ ...event, at: Date.now() }));
}
const allLive = new Promise((resolve) => {
  client.on('serverLive', () => {
    if (client.servers().every(({ state }) => state === 'live')) resolve(undefined);
  });
});
client.connect(endpoints);
await allLive;
await keepAsking(asker, (body) => client.request(body));
await client.close();
