// @ts-check
/** One of the pair of this demo: `node demo/failover/broker.js PLACES`. It will be killed. */
import { BinaryStar, MajordomoBroker } from 'unsinkable';
import { endWithParent, tell } from '../lifeline.js';

endWithParent();
/** @type {import('./places.js').BrokerPlaces} */
const { role, bind, pair, peer, witness, store } = JSON.parse(process.argv[2] ?? '{}');

const star = new BinaryStar({ role, peer, witness, store });
star.on('becameActive', ({ epoch }) => void tell({ type: 'serving', epoch }));
star.on('becamePassive', () => void tell({ type: 'serving', epoch: 0 }));
const broker = new MajordomoBroker({ failover: star });
broker.on('followerSynchronised', () => void tell({ type: 'followed', isFollowed: true }));
broker.on('followerLost', () => void tell({ type: 'followed', isFollowed: false }));
await star.bind(pair);
await tell({ type: 'ready', endpoint: await broker.bind(bind) });
