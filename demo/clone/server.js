// @ts-check
/** One of the pair of this demo: `node demo/clone/server.js PLACES`. It will be killed. */
import { BinaryStar, CloneServer } from 'unsinkable';
import { endWithParent, tell } from '../lifeline.js';

endWithParent();
/** @type {import('../pair.js').ServerPlaces} */
const { role, bind, pair, peer, witness, store } = JSON.parse(process.argv[2] ?? '{}');

const star = new BinaryStar({ role, peer, witness, store });
star.on('becameActive', ({ epoch }) => void tell({ type: 'serving', epoch }));
star.on('becamePassive', () => void tell({ type: 'serving', epoch: 0 }));
const server = new CloneServer({ failover: star });
server.on('backupSynchronised', () => void tell({ type: 'followed', isFollowed: true }));
server.on('backupLost', () => void tell({ type: 'followed', isFollowed: false }));
await star.bind(pair);
await tell({ type: 'ready', endpoint: await server.bind(bind) });
