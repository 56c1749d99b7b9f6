/**
 * Which of several servers may serve: the question a server asks, whoever decides it.
 *
 * A server asks its `Guard` before it does anything that only the active one may do, and shows the epoch
 * it gets to everybody. Epochs tell one reign from the next: each has a larger one than all before it,
 * and whoever has seen an epoch refuses smaller ones. A pair (`src/failover`) is one way to decide; any
 * consensus store can be another.
 */
import type { Instant } from './machine.ts';

/** Numbers the reigns. 0: none, or a server without failover. */
export type Epoch = number;

/**
 * An epoch that a client or a worker shows may be so much above the highest one known here. A larger step
 * is not believed: one liar would use up all numbers. Servers and witnesses believe each other.
 */
export const EPOCH_STEP_LIMIT = 2 ** 10;

/** Nobody counts further: two months of nothing but lies, 200,000 a second. */
export const EPOCH_LIMIT = 2 ** 50;

/** True if an outsider who shows `shown` can be believed by one who knows `known`. */
export function isPlausible(shown: Epoch, known: Epoch): boolean {
  return Number.isSafeInteger(shown) && shown >= 0 && shown <= known + EPOCH_STEP_LIMIT;
}

/** What a server's machine asks. Pure: it lives in the turn and on the clock of whoever asks. */
export interface Guard {
  /**
   * The epoch to serve under at this instant; 0: it is not for this server to serve. Asked anew before
   * each thing that only the active one may do, as a lease can end between two of them.
   */
  epochAt(now: Instant): Epoch;
  /** The highest epoch known here. */
  readonly highestEpoch: Epoch;
  /** Where clients reach the server that is believed to be active; '' while nobody is. */
  readonly activeEndpoint: string;
  /** Somebody showed this epoch. If it is higher than ours, we serve no more from that on. */
  seen(now: Instant, epoch: Epoch): void;
  /** A client wants to be served, and came here: where clients vote, this is a vote. */
  asked(now: Instant): void;
}

/** What a server tells whoever decides. All of it may change at any time; what is left out stays. */
export interface Standing {
  /** Where clients reach this server; the other one redirects them to it. */
  readonly endpoint?: string | undefined;
  /**
   * The epoch of the state that this server has: its own while it serves, the active one's once it has
   * copied all of that, 0 if it has none. `Infinity`, as it begins: there is no state to lose.
   */
  readonly holds?: Epoch | undefined;
  /**
   * The active one asks to serve alone: what it does from now on no other server has. Answered by
   * `servesAlone`; from then on nobody else is elected unless told to, until it takes this back.
   */
  readonly alone?: boolean | undefined;
}

export type ElectionEvent =
  /** This server serves from now on, under an epoch that was never used before. */
  | { readonly type: 'becameActive'; readonly epoch: Epoch }
  /** It serves no more: nothing it does from now on counts. */
  | { readonly type: 'becamePassive'; readonly epoch: Epoch; readonly reason: StepDownReason }
  /** Another server was heard to serve, or serves at another place, or is heard of no more (''). */
  | { readonly type: 'activeChanged'; readonly epoch: Epoch; readonly endpoint: string }
  /** The active one may serve alone: who decides knows it. */
  | { readonly type: 'servesAlone'; readonly epoch: Epoch };

/** Why a server serves no more. */
export type StepDownReason =
  /** Somebody showed a higher epoch. */
  | 'higherEpoch'
  /** Nobody renewed its lease in time. */
  | 'leaseEnded'
  /** It was stopped for so long that another may have taken over. */
  | 'stopped'
  /** A stock peer, which has no epochs, serves too, and goes first. */
  | 'peerActive'
  /** It was asked to. */
  | 'resigned';

/** Whoever decides, as one server sees it. */
export interface Election extends Guard {
  /** Tells what happens from now on; the returned function ends that. Never called from inside a call. */
  subscribe(listener: (event: ElectionEvent) => void): () => void;
  /** What this server is and has. */
  stand(standing: Standing): void;
}
