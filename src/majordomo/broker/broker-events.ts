/** What a broker tells: past facts, one union for the machine, the emitter and the logs. */
import type { Epoch } from '../../core/election.ts';
import type { Address, Frames } from '../../core/machine.ts';
import type { Dialect } from '../wire/commands.ts';

/** Why a worker's session ended. */
export type WorkerLossReason =
  /** It said so. */
  | 'disconnected'
  /** It was silent for interval × liveness. */
  | 'expired'
  /** Its connection broke and it was not heard again within the grace. */
  | 'gone'
  /** It held a request longer than `attemptTimeout` without a word. */
  | 'attemptTimeout'
  /** It was streaming the reply to a request that had ended, or whose client had left. */
  | 'requestEnded'
  /** It broke the protocol, for example by a second READY. */
  | 'unexpectedCommand'
  /** Another session began where it was. */
  | 'replaced'
  /** The broker is closing. */
  | 'closing'
  /** The broker serves no more, and stock MDP has no word for a worker that stands by. */
  | 'notActive';

/** Why a worker was not registered. */
export type WorkerRefusal =
  | 'reservedName'
  | 'workerLimit'
  | 'closing'
  | 'otherService'
  /** It speaks stock MDP, and the broker stands by. */
  | 'notActive';

/** Why an express client's session ended. */
export type ClientGoneReason =
  /** It said so. */
  | 'disconnected'
  /** It was silent for interval × liveness, or its connection broke and it did not come back. */
  | 'gone'
  /** Another session began where it was. */
  | 'replaced'
  /** The broker is closing. */
  | 'closing'
  /** The broker serves no more. */
  | 'notActive';

/** Why the active broker gave up the passive one that copies what it keeps. */
export type FollowerLossReason =
  /** It acknowledged nothing for interval × liveness. */
  | 'silent'
  /** Its connection broke and it was not heard again within the grace. */
  | 'gone'
  /** It takes in less than there is to copy. */
  | 'tooSlow'
  /** It said so. */
  | 'disconnected';

/** Why a request was not taken in. */
export type RefusalReason = 'queueFull' | 'closing' | 'noService' | 'expired' | 'notActive';

/** Why a reply reached no one. */
export type ReplyRefusal =
  /** It came from no registered worker. */
  | 'unknownWorker'
  /** It is not for what its worker was last given: late, double, or forged. */
  | 'stale'
  /** Its request had expired or was cancelled. */
  | 'requestEnded'
  /** A part of it was lost on the way. */
  | 'incomplete'
  /** The client does not read: its outgoing queue is full. */
  | 'clientQueueFull';

/** A request that cost `maxAttempts` workers. */
export interface DeadLetter {
  readonly service: string;
  readonly body: Frames;
  readonly client: Address;
  readonly attempts: number;
}

export type BrokerEvent =
  | { type: 'workerReady'; worker: Address; service: string; dialect: Dialect }
  | {
      type: 'workerLost';
      worker: Address;
      service: string;
      reason: WorkerLossReason;
      held: boolean;
    }
  /** Its event loop has not turned for longer than a heartbeat interval: it gets no new work. */
  | { type: 'workerStalled'; worker: Address; service: string; stuck: number }
  | { type: 'workerRecovered'; worker: Address; service: string }
  /** It takes nothing new and finishes what it has. */
  | { type: 'workerDraining'; worker: Address; service: string }
  /** The link to an express worker broke and it came back with its session. */
  | { type: 'workerReattached'; worker: Address; service: string }
  /** An express client began a session; stock clients have none. */
  | { type: 'clientReady'; client: Address }
  | { type: 'clientLost'; client: Address; reason: ClientGoneReason }
  /** Heartbeats say that a dispatch, or the result of one, never arrived. */
  | { type: 'dispatchLost'; worker: Address; service: string }
  | { type: 'requestHandedBack'; worker: Address; service: string }
  | { type: 'requestRequeued'; service: string; client: Address; attempts: number }
  | { type: 'requestRefused'; service: string; client: Address; reason: RefusalReason }
  | { type: 'requestExpired'; service: string; client: Address; running: boolean }
  | { type: 'requestCancelled'; service: string; client: Address }
  /** A request came under the idempotency key of one that is there, or whose reply is kept. */
  | { type: 'requestJoined'; service: string; client: Address; stored: boolean }
  | ({ type: 'deadLetter' } & DeadLetter)
  | { type: 'replyRefused'; worker: Address; reason: ReplyRefusal }
  | { type: 'workerRefused'; worker: Address; reason: WorkerRefusal }
  | { type: 'unexpectedCommand'; from: Address; command: string }
  | { type: 'malformed'; from: Address; reason: string }
  | { type: 'drained' }
  // with failover
  /** It serves from now on, under this epoch. */
  | { type: 'becameActive'; epoch: Epoch }
  /** It serves no more. */
  | { type: 'becamePassive'; epoch: Epoch }
  /**
   * All workers that may run something under a key have said what, or were waited for long enough:
   * `adopted` requests go on where they run.
   */
  | {
      type: 'takeoverComplete';
      epoch: Epoch;
      waited: number;
      workers: number;
      adopted: number;
    }
  /** Another worker may have its key in hand: it waits until that is known, or has ended. */
  | { type: 'requestParked'; service: string; client: Address }
  /** The passive broker has copied all that this one keeps, and copies what is new. */
  | { type: 'followerSynchronised'; epoch: Epoch }
  | { type: 'followerLost'; reason: FollowerLossReason }
  /** This passive broker has copied all that the active one keeps. */
  | { type: 'synchronised'; epoch: Epoch; replies: number; workers: number }
  /** For who decides: the epoch of the state that this broker has, and that it asks to serve alone. */
  | { type: 'holds'; epoch: Epoch }
  | { type: 'alone'; alone: boolean };

/** All events, for counting. */
export const BROKER_EVENT_TYPES = [
  'workerReady',
  'workerLost',
  'workerStalled',
  'workerRecovered',
  'workerDraining',
  'workerReattached',
  'clientReady',
  'clientLost',
  'dispatchLost',
  'requestHandedBack',
  'requestRequeued',
  'requestRefused',
  'requestExpired',
  'requestCancelled',
  'requestJoined',
  'deadLetter',
  'replyRefused',
  'workerRefused',
  'unexpectedCommand',
  'malformed',
  'drained',
  'becameActive',
  'becamePassive',
  'takeoverComplete',
  'requestParked',
  'followerSynchronised',
  'followerLost',
  'synchronised',
  'holds',
  'alone',
] as const satisfies readonly BrokerEvent['type'][];

export type EventCounts = Record<BrokerEvent['type'], number>;

/** One service, as `status()` shows it. */
export interface ServiceStatus {
  readonly name: string;
  /** Registered workers, and how many of them are idle. */
  readonly workers: number;
  readonly waiting: number;
  /** Workers that are alive, but whose event loop does not turn. */
  readonly stalled: number;
  /** Requests that workers have in their hands, and how many they would take together. */
  readonly running: number;
  readonly credit: number;
  /** Requests that wait for a worker. */
  readonly queued: number;
}

/** How a broker stands that is one of several. */
export interface FailoverStatus {
  readonly standing: 'active' | 'passive';
  /** Of an active one its own; of a passive one the highest that it knows. */
  readonly epoch: Epoch;
  /** Where the active one is believed to be; '' if it is this one, or nobody knows. */
  readonly active: string;
  /** Of an active one: who copies what it keeps. Of a passive one: what it has copied itself. */
  readonly follower: 'none' | 'copying' | 'synchronised';
  /** Workers whose report is waited for. */
  readonly awaited: number;
  /** Replies that are told once the follower has them. */
  readonly withheld: number;
}

/** What a broker is doing, and what it has seen since it began. */
export interface BrokerStatus {
  readonly services: readonly ServiceStatus[];
  readonly workers: number;
  /** Clients with a session; stock clients have none. */
  readonly clients: number;
  readonly queued: number;
  readonly queuedBytes: number;
  readonly inFlight: number;
  /** Every accepted request is queued, in flight, or counted in exactly one of the four ends. */
  readonly requests: {
    readonly accepted: number;
    readonly replied: number;
    readonly failed: number;
    readonly expired: number;
    readonly cancelled: number;
  };
  /** Replies kept under idempotency keys, and their bytes. */
  readonly kept: { readonly replies: number; readonly bytes: number };
  /** Only with `failover`. */
  readonly failover?: FailoverStatus | undefined;
  /** Events of each kind: `malformed`, `replyRefused`, `deadLetter` … */
  readonly events: Readonly<Record<BrokerEvent['type'], number>>;
}
