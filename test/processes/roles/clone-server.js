/**
 * A Clone server as a process of its own, alone or one of a pair; it tells what becomes of it. SIGTERM: drain
 * and end. It ends at once when nobody holds its stdin any more.
 */
import { CloneServer } from 'unsinkable/clone';
import { BinaryStar } from 'unsinkable/failover';
import { settings, tell } from './common.js';

/**
 * @type {{ endpoint: string, pair: string, star?: import('unsinkable/failover').BinaryStarOptions,
 *   options: import('unsinkable/clone').CloneServerOptions }}
 */
const { endpoint, pair, star: half, options } = settings();

const star = half === undefined ? undefined : new BinaryStar(half);
star?.on('event', tell);
const server = new CloneServer({ ...options, failover: star });
for (const type of /** @type {const} */ (['backupSynchronised', 'backupLost', 'storeFailed']))
  server.on(type, tell);
process.stdin.on('end', () => process.exit()).resume();
process.once('SIGTERM', () => {
  void server
    .close()
    .then(() => star?.close())
    .then(() => process.exit());
});
await star?.bind(pair);
tell({ type: 'bound', endpoint: await server.bind(endpoint) });
