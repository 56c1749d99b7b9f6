/** The plan that tests of the suite itself begin with. */
import { SUBTREES, type ClonePlan } from '../../src/testing/clone/plan.ts';

/** A plan in which nothing happens by itself: a server, and a client for each of these subtrees. */
export function quietPlan(subtrees: readonly (typeof SUBTREES)[number][]): ClonePlan {
  return {
    seed: 1,
    topology: 'lone',
    isStored: false,
    settings: {
      replication: 'sync',
      heartbeatInterval: 40,
      heartbeatLiveness: 3,
      historyLimit: 8,
      historyBytes: 100_000,
      keyLimit: 100,
      stateBytes: 1_000_000,
      valueBytes: 10_000,
      followerLimit: 100,
      writerLimit: 100,
      pendingLimit: 100,
      inFlightLimit: 100,
      queueLimit: 100,
      peerQueueBytes: 1_000_000,
      notices: true,
      highWaterMark: 100,
      ghostDelay: 0,
      jitter: 0.5,
      lateTimers: false,
      commitTime: 1,
    },
    pair: {
      heartbeatInterval: 80,
      heartbeatLiveness: 3,
      noticeGrace: 10,
      backupWindow: 1_000_000,
      lease: 300,
      storeTime: 1,
      core: 'all',
    },
    clients: subtrees.map((subtree) => ({
      subtree: SUBTREES.indexOf(subtree),
      first: 0,
      window: 2000,
    })),
    rogue: undefined,
    stockPace: undefined,
    lossPace: undefined,
    steadyPace: undefined,
    writes: [],
    faults: [],
    core: 0,
  };
}
