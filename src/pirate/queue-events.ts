/** What a queue tells: past facts, one union for the machine, the emitter and the logs. */
import type { Address, Frames } from '../core/machine.ts';
import type { QueuePort } from './commands.ts';

/** Why a worker is no longer registered. */
export type WorkerLossReason =
  /** It was silent for interval × liveness. */
  | 'expired'
  /** Its connection broke and it was not heard again within the grace. */
  | 'gone'
  /** It said READY while it held a request: it has begun anew and knows nothing of that. */
  | 'replaced'
  /** The queue is closing. */
  | 'closing';

/** Why a worker was not registered. */
export type WorkerRefusal = 'workerLimit' | 'closing';

/** Why a request was not taken in. */
export type RefusalReason = 'queueFull' | 'closing';

/** Why a reply reached no one. */
export type ReplyRefusal =
  /** It came from no registered worker. */
  | 'unknownWorker'
  /** It is not for what its worker was last given, or too late: late, double, or forged. */
  | 'stale'
  /** Its request had expired or was cancelled. */
  | 'requestEnded'
  /** The client does not read: its outgoing queue is full. */
  | 'clientQueueFull';

export type QueueEvent =
  | { type: 'workerReady'; worker: Address }
  /** `held`: it had a request in its hands, which goes to another. */
  | { type: 'workerLost'; worker: Address; reason: WorkerLossReason; held: boolean }
  /** It has held a request for longer than `attemptTimeout`: it gets nothing until it answers. */
  | { type: 'workerOverdue'; worker: Address }
  /** An overdue worker has answered: it is given requests again. */
  | { type: 'workerRecovered'; worker: Address }
  | { type: 'workerRefused'; worker: Address; reason: WorkerRefusal }
  | { type: 'requestRequeued'; client: Address; attempts: number }
  | { type: 'requestRefused'; client: Address; reason: RefusalReason }
  | { type: 'requestExpired'; client: Address; running: boolean }
  /** Its client has gone. */
  | { type: 'requestCancelled'; client: Address }
  /** It cost `maxAttempts` workers and is given up. */
  | { type: 'deadLetter'; client: Address; body: Frames; attempts: number }
  | { type: 'replyRefused'; worker: Address; reason: ReplyRefusal }
  | { type: 'malformed'; port: QueuePort; from: Address; reason: string }
  | { type: 'drained' };

/** All events, for counting. */
export const QUEUE_EVENT_TYPES = [
  'workerReady',
  'workerLost',
  'workerOverdue',
  'workerRecovered',
  'workerRefused',
  'requestRequeued',
  'requestRefused',
  'requestExpired',
  'requestCancelled',
  'deadLetter',
  'replyRefused',
  'malformed',
  'drained',
] as const satisfies readonly QueueEvent['type'][];

export type EventCounts = Record<QueueEvent['type'], number>;

/** What a queue is doing, and what it has seen since it began. */
export interface QueueStatus {
  /** Registered workers, how many of them wait for a request, and how many hold one for too long. */
  readonly workers: number;
  readonly idle: number;
  readonly overdue: number;
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
  /** Events of each kind: `malformed`, `replyRefused`, `deadLetter` … */
  readonly events: Readonly<EventCounts>;
}
