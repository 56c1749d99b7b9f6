/** What a broker tells: past facts, one union for the machine, the emitter and the logs. */
import type { Address, Frames } from '../core/machine.ts';
import type { Dialect } from './commands.ts';

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
  /** The broker is closing. */
  | 'closing';

/** Why a request was not taken in. */
export type RefusalReason = 'queueFull' | 'closing';

/** Why a reply reached no one. */
export type ReplyRefusal =
  /** It came from no registered worker. */
  | 'unknownWorker'
  /** It is not for what its worker was last given: late, double, or forged. */
  | 'stale'
  /** Its request had expired or was cancelled. */
  | 'requestEnded'
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
  | { type: 'requestRequeued'; service: string; client: Address; attempts: number }
  | { type: 'requestRefused'; service: string; client: Address; reason: RefusalReason }
  | { type: 'requestExpired'; service: string; client: Address; running: boolean }
  | { type: 'requestCancelled'; service: string; client: Address }
  | ({ type: 'deadLetter' } & DeadLetter)
  | { type: 'replyRefused'; worker: Address; reason: ReplyRefusal }
  | { type: 'workerRefused'; worker: Address; reason: 'reservedName' | 'workerLimit' | 'closing' }
  | { type: 'unexpectedCommand'; from: Address; command: string }
  | { type: 'malformed'; from: Address; reason: string }
  | { type: 'drained' };

/** One service, as `status()` shows it. */
export interface ServiceStatus {
  readonly name: string;
  /** Registered workers, and how many of them are idle. */
  readonly workers: number;
  readonly waiting: number;
  /** Requests that wait for a worker. */
  readonly queued: number;
}

/** What a broker is doing, and what it has seen since it began. */
export interface BrokerStatus {
  readonly services: readonly ServiceStatus[];
  readonly workers: number;
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
  readonly events: Readonly<Record<BrokerEvent['type'], number>>;
}
