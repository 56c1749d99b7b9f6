/**
 * A broadcast: one request to each worker of a service, and one reply with a part from each.
 *
 * Each worker gets a copy of its own; the broadcast has ended when all of them have.
 */
import type { PendingRequest, Waiter } from './requests.ts';

/** Plain data: part of a broker's state. */
export interface Broadcast {
  readonly waiter: Waiter;
  /** Those that have not ended. */
  readonly copies: Set<PendingRequest>;
  /** Parts sent to the client. */
  parts: number;
  /** There was no room to tell of one. */
  isShort: boolean;
}

export function isBroadcast(awaited: PendingRequest | Broadcast): awaited is Broadcast {
  return 'copies' in awaited;
}
