/**
 * One of a pair of brokers as a process of its own; it tells what becomes of it, and when by a clock that all
 * processes share, and whether it is followed. SIGTERM: drain and end. It ends at once when nobody holds its stdin any more.
 */
import { BinaryStar } from 'unsinkable/failover';
import { MajordomoBroker } from 'unsinkable/majordomo';
import { settings, tell } from './common.js';

/**
 * @type {{ endpoint: string, pair: string, star: import('unsinkable/failover').BinaryStarOptions,
 *   options: import('unsinkable/majordomo').BrokerOptions }}
 */
const { endpoint, pair, star: half, options } = settings();

const star = new BinaryStar(half);
star.on('event', (event) => tell({ ...event, at: Number(process.hrtime.bigint()) / 1e6 }));
const broker = new MajordomoBroker({ ...options, failover: star });
for (const type of /** @type {const} */ (['followerSynchronised', 'followerLost', 'deadLetter']))
  broker.on(type, tell);
process.stdin.on('end', () => process.exit()).resume();
process.once('SIGTERM', () => {
  void broker
    .close()
    .then(() => star.close())
    .then(() => process.exit());
});
await star.bind(pair);
tell({ type: 'bound', endpoint: await broker.bind(endpoint) });
