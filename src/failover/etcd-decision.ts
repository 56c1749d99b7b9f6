/**
 * What a server does about what it reads in etcd: the one decision of `EtcdElection`, without etcd.
 *
 * Two keys are all there is. `leader` is bound to the lease of the one that serves, and gone with it.
 * `last` stays: under which epoch somebody served last, who, and whether nobody else has what it did.
 */
import type { Epoch } from '../core/election.ts';
import type { Instant } from '../core/machine.ts';

/** The two keys, behind the prefix of the election. */
const LEADER = 'leader';
const LAST = 'last';

/** The id of a lease, a number of 64 bits as text. */
export type LeaseId = string;

export interface LeaderKey {
  readonly server: string;
  readonly epoch: Epoch;
  /** Where clients reach it; '' if it did not say. */
  readonly endpoint: string;
}

export interface LastKey {
  readonly server: string;
  readonly epoch: Epoch;
  /** Nobody else has all that it did: see `Standing.alone`. */
  readonly alone: boolean;
}

/** What etcd held at one moment. */
export interface ElectionView {
  readonly leader: (LeaderKey & { readonly lease: LeaseId }) | undefined;
  readonly last: LastKey | undefined;
}

/** The one that asks itself what to do. */
export interface Candidate {
  readonly server: string;
  /** Its lease; undefined if it has none. */
  readonly lease: LeaseId | undefined;
  /** See `Standing.holds`. */
  readonly holds: Epoch;
  /** The highest epoch that it has seen anywhere. */
  readonly highest: Epoch;
  /** A person said that it shall serve, whatever is lost by that. */
  readonly isPromoted: boolean;
  /** From when on it may go before one that is synchronised: the last leader, back without its state. */
  readonly patientUntil: Instant;
}

export type Decision =
  /** The key is ours. */
  | { readonly type: 'serve'; readonly epoch: Epoch }
  /** It is another's. */
  | { readonly type: 'follow'; readonly leader: LeaderKey }
  /** It is ours, and somebody knows of a later reign: away with it. */
  | { readonly type: 'release' }
  /** Nobody has it, and we may. */
  | { readonly type: 'claim'; readonly epoch: Epoch }
  /** Nobody has it, and others go first. */
  | { readonly type: 'wait' }
  /** Nobody has it, and we may not. */
  | { readonly type: 'standBack' };

/** What the candidate does now that etcd holds this. */
export function decide(now: Instant, view: ElectionView, candidate: Candidate): Decision {
  const { leader, last } = view;
  if (leader !== undefined) {
    if (leader.lease !== candidate.lease) return { type: 'follow', leader };
    if (leader.epoch < candidate.highest) return { type: 'release' };
    return { type: 'serve', epoch: leader.epoch };
  }
  const claim = {
    type: 'claim',
    epoch: Math.max(last?.epoch ?? 0, candidate.highest) + 1,
  } as const;
  if (last === undefined || candidate.isPromoted) return claim;
  const isSynchronised = candidate.holds >= last.epoch && !last.alone;
  if (isSynchronised) return claim;
  if (last.server !== candidate.server) return { type: 'standBack' };
  // It was the last one: nobody has more than it has if it was alone, and those who do go first.
  return last.alone || now >= candidate.patientUntil ? claim : { type: 'wait' };
}

/**
 * Reads what the keys hold.
 * @throws Error if that is nothing of ours: then nobody may serve
 */
export function viewOf(
  values: ReadonlyMap<string, { readonly value: string; readonly lease: LeaseId }>,
): ElectionView {
  const leader = values.get(LEADER);
  const last = values.get(LAST);
  return {
    leader: leader && { ...known(LEADER, leaderIn(leader.value)), lease: leader.lease },
    last: last && known(LAST, lastIn(last.value)),
  };
}

/** What the one that serves writes, or claims to serve by writing: both keys, if they are as they were read. */
export function changeOf(
  read: ReadonlyMap<string, { readonly modRevision: string }>,
  { server, epoch, endpoint, alone, lease }: LeaderKey & LastKey & { readonly lease: LeaseId },
) {
  const revisionOf = (key: string): string => read.get(key)?.modRevision ?? '0';
  return {
    unchanged: { [LEADER]: revisionOf(LEADER), [LAST]: revisionOf(LAST) },
    put: {
      [LEADER]: { value: JSON.stringify({ server, epoch, endpoint }), lease },
      [LAST]: { value: JSON.stringify({ server, epoch, alone }) },
    },
  };
}

function known<Value>(key: string, value: Value | undefined): Value {
  if (value !== undefined) return value;
  throw new Error(`the key '${key}' of this election holds what nobody of us wrote: delete it`);
}

function leaderIn(text: string): LeaderKey | undefined {
  const { server, epoch, endpoint } = objectIn(text);
  if (typeof server !== 'string' || typeof endpoint !== 'string') return undefined;
  return isEpoch(epoch) ? { server, epoch, endpoint } : undefined;
}

function lastIn(text: string): LastKey | undefined {
  const { server, epoch, alone } = objectIn(text);
  if (typeof server !== 'string' || typeof alone !== 'boolean') return undefined;
  return isEpoch(epoch) ? { server, epoch, alone } : undefined;
}

function isEpoch(value: unknown): value is Epoch {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
