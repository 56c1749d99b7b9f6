/**
 * A plan of the Clone suite: which servers and replicas there are, what is written, what goes wrong, and when.
 *
 * A plan is plain data, so that a failing one shrinks and can be stored; with its seed it decides
 * everything that happens in a run. Times are milliseconds of the simulated world. How plans are drawn is
 * in `plans.ts`.
 */
import type { WriteKind } from '../../clone/commands.ts';
import type { Replication } from '../../clone/options.ts';
import { COMMON_FAULTS, type PlannedFault } from '../faults.ts';

/** When operations and faults may begin, and when the viable core is healed. */
export const CHAOS_ENDS = 1800;

/** The longest timeout of a write. */
export const LONGEST_TIMEOUT = 2500;

/** The longest pause of one process, as somebody who types Ctrl-Z makes it. */
export const LONG_PAUSE = 4000;

/** Who serves: one alone, or one of two, by the word of a witness or by that of clients. */
export const TOPOLOGIES = ['lone', 'witness', 'votes'] as const;
export type Topology = (typeof TOPOLOGIES)[number];

export const SERVERS = ['server-0', 'server-1'] as const;
export type Server = (typeof SERVERS)[number];

export const WITNESS = 'witness';

/** What is written: few keys, so that writers meet; some under others. */
export const KEYS = [
  '/a/1',
  '/a/2',
  '/a/b/1',
  '/a/b/2',
  '/a/b/c/1',
  '/b/1',
  '/b/c/1',
  '/e',
] as const;

/** What replicas follow, and what is cleared. */
export const SUBTREES = ['', '/a/', '/a/b/', '/b/', '/e', '/a/1', '/none/'] as const;

/** What no server takes as a key. */
export const NO_KEYS = ['HUGZ', 'KTHXBAI', '', '/', 'a', '/a/', '//a', '/a\n', '/\u{7f}'] as const;

/**
 * What befalls a Clone besides. `crashBoth`: all servers die, and come back at different times. `isolate`:
 * nobody hears the target any more, or it hears nobody. `cutDeciders`: clients still reach the server, but no
 * other decider does. `rejoin`: a replica dies, and is back at the instant
 * of a publish. `midSnapshot`: a server dies, or its link, as soon as it sends somebody a snapshot.
 */
export const CLONE_FAULTS = [
  ...COMMON_FAULTS,
  'crashBoth',
  'longPause',
  'isolate',
  'isolateOneWay',
  'cutDeciders',
  'rejoin',
  'midSnapshot',
  'storeFails',
  'storeStalls',
  'diskFull',
  'failedFsync',
  'ioError',
  'slowDisk',
] as const;
export type CloneFaultKind = (typeof CLONE_FAULTS)[number];

/** As often as their name comes, so often a kind is drawn. */
export const FAULT_KINDS: readonly CloneFaultKind[] = [
  ...CLONE_FAULTS,
  'crash',
  'crash',
  'pause',
  'partition',
  'partition',
  'drop',
  'drop',
  'drop',
  'stopReading',
  'rejoin',
  'midSnapshot',
];

/** Who a fault can hit: numbers beyond those who are there begin anew. Without a witness, a server instead of it. */
export const TARGETS = [
  'server-0',
  'server-0',
  'server-1',
  'server-1',
  'witness',
  'client-0',
  'client-1',
  'client-2',
] as const;
export type Target = (typeof TARGETS)[number];

export type CloneFault = PlannedFault<CloneFaultKind, Target>;

/** Which revision a write demands: none, the one its writer sees, an older one, or that there is no such key. */
export type Demand = 'none' | 'seen' | 'stale' | 'absent';

export interface PlannedWrite {
  readonly at: number;
  readonly client: number;
  readonly kind: WriteKind;
  /** Of `clear`: which subtree. */
  readonly key: number;
  /** Bytes of ballast in the value. */
  readonly size: number;
  readonly ttl: number | undefined;
  readonly demand: Demand;
  readonly timeout: number;
  /** Milliseconds until the caller waits no longer; undefined: it waits. */
  readonly abandonAfter: number | undefined;
  /** So many of them, on one key after the other. */
  readonly burst: number;
}

export interface PlannedClient {
  readonly subtree: number;
  /** At which server its list begins. */
  readonly first: number;
  readonly window: number;
}

/** What a rogue does to a server, or as a server to replicas. */
export const MISCHIEFS = [
  'garbage',
  'lies',
  'replays',
  'neverReads',
  'wrongKeys',
  'skips',
  'followsNobody',
  'implausible',
  'usurps',
] as const;
export type Mischief = (typeof MISCHIEFS)[number];

export interface PlannedRogue {
  readonly mischiefs: readonly Mischief[];
  /** Where the rogue server stands in every list; undefined: it serves nobody. */
  readonly rank: number | undefined;
}

/** Who is healed in the end, and must suffice. The rest stays broken for ever. */
export const CORES = ['all', 'servers', 'server-0', 'server-1'] as const;
export type Core = (typeof CORES)[number];

export interface ClonePlan {
  readonly seed: number;
  readonly topology: Topology;
  /** Servers store what they have. */
  readonly isStored: boolean;
  readonly settings: {
    readonly replication: Replication;
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly historyLimit: number;
    readonly historyBytes: number;
    readonly keyLimit: number;
    readonly stateBytes: number;
    readonly valueBytes: number;
    readonly followerLimit: number;
    readonly writerLimit: number;
    readonly pendingLimit: number;
    readonly inFlightLimit: number;
    readonly queueLimit: number;
    readonly peerQueueBytes: number;
    readonly notices: boolean;
    readonly highWaterMark: number;
    readonly ghostDelay: number;
    readonly jitter: number;
    readonly lateTimers: boolean;
    readonly commitTime: number;
  };
  readonly pair: {
    readonly heartbeatInterval: number;
    readonly heartbeatLiveness: number;
    readonly noticeGrace: number;
    readonly backupWindow: number;
    readonly lease: number;
    /** Milliseconds that a write to a store of epochs takes, on average. */
    readonly storeTime: number;
    readonly core: Core;
  };
  readonly clients: readonly PlannedClient[];
  readonly rogue: PlannedRogue | undefined;
  /** A stock peer writes every so many milliseconds, and follows; undefined: there is none. */
  readonly stockPace: number | undefined;
  /** A message to one of the clients is lost every so many milliseconds; undefined: only by faults. */
  readonly lossPace: number | undefined;
  /** A client writes every so many milliseconds, also while the core recovers; undefined: nobody does. */
  readonly steadyPace: number | undefined;
  readonly writes: readonly PlannedWrite[];
  readonly faults: readonly CloneFault[];
  /** Which client is of the core that is healed. */
  readonly core: number;
}
