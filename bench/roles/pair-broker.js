// One of a pair of our brokers: tells when it serves, and when the other one has all that it has.
import { BinaryStar, MajordomoBroker } from 'unsinkable';
import { now } from '../harness/clock.js';
import { options, ready, tell } from '../harness/role.js';

const state = { epoch: 0, isFollowed: false };

/** Tells the parent what has changed, and when. */
function change(what) {
  Object.assign(state, what);
  tell({ type: 'state', ...state, at: now() });
}

const star = new BinaryStar(options.star);
star.on('becameActive', ({ epoch }) => change({ epoch, isFollowed: false }));
star.on('becamePassive', () => change({ epoch: 0, isFollowed: false }));
const broker = new MajordomoBroker({ failover: star });
broker.on('followerSynchronised', () => change({ isFollowed: true }));
broker.on('followerLost', () => change({ isFollowed: false }));
await star.bind(options.pair);
await broker.bind(options.endpoint);
ready(state);
