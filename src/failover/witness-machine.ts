/**
 * The witness as a pure machine: a voter for each pair that comes to it, and nothing else.
 *
 * It serves nobody and knows nothing of what pairs do. A lease under a new epoch is stored before it is
 * granted; what renews it is not, as a restarted witness waits for as long as the longest lease it gave.
 */
import { fingerprintOf } from '../core/fingerprint.ts';
import type { Address, Instant, Machine, Outbox } from '../core/machine.ts';
import type { ClaimCommand, ReleaseCommand, VoterInput, VoterOutput } from './commands.ts';
import type { WitnessCall, WitnessEvent, WitnessPort, WitnessRecord } from './failover-events.ts';
import { STORE_RETRY } from './record-keeper.ts';
import { newVoter, restoredVoter, Voter, type Verdict, type VoterState } from './voter.ts';

export interface WitnessSettings {
  /** Pairs it serves at most. */
  readonly pairLimit: number;
}

export type WitnessOutbox = Outbox<WitnessPort, VoterOutput, WitnessEvent>;

/** What the witness knows of one pair. Plain data: part of its state. */
interface WitnessedPair {
  readonly name: string;
  readonly voter: VoterState;
  /** What is durable of it; undefined: nothing, or nobody knows. */
  kept: WitnessRecord | undefined;
  /** Its last claim, which is granted as soon as what it changes is durable. */
  asking: { readonly from: Address; readonly claim: ClaimCommand } | undefined;
  /** The epoch whose grant was told. */
  told: number;
}

export interface WitnessState {
  /** Time is known from the first turn on. */
  isBegun: boolean;
  isClosed: boolean;
  readonly pairs: Map<string, WitnessedPair>;
  /** What a former life stored, until time is known. */
  restored: readonly WitnessRecord[];
  /** The write that is under way. */
  writing: { readonly token: number; readonly records: readonly WitnessRecord[] } | undefined;
  token: number;
  /** Not before then: the last write failed. */
  retryAt: Instant;
}

/** How a witness begins that has these records. */
export function newWitnessState(records: readonly WitnessRecord[]): WitnessState {
  return {
    isBegun: false,
    isClosed: false,
    pairs: new Map(),
    restored: records,
    writing: undefined,
    token: 0,
    retryAt: -Infinity,
  };
}

export class WitnessMachine implements Machine<WitnessPort, VoterInput, WitnessCall> {
  /** Plain data: a copy of it, handed to another machine, goes on from here. */
  readonly state: WitnessState;
  readonly #outbox: WitnessOutbox;
  readonly #settings: WitnessSettings;

  /**
   * @param records what was stored last, of all pairs
   * @param state that of another machine with the same settings, to go on from
   */
  constructor(
    outbox: WitnessOutbox,
    settings: WitnessSettings,
    records: readonly WitnessRecord[],
    state: WitnessState = newWitnessState(records),
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.state = state;
  }

  get nextTimeout(): Instant {
    if (this.state.isClosed) return Infinity;
    if (!this.state.isBegun) return -Infinity;
    let next = this.state.retryAt === -Infinity ? Infinity : this.state.retryAt;
    for (const { voter } of this.state.pairs.values()) {
      if (voter.promisedAt > -Infinity) next = Math.min(next, voter.promisedAt);
    }
    return next;
  }

  /** Pairs that it knows. */
  get pairs(): number {
    return this.state.pairs.size;
  }

  fingerprint(now: Instant): string {
    return fingerprintOf(this.state, now);
  }

  handleCommand(now: Instant, _port: WitnessPort, from: Address, command: VoterInput): void {
    this.#turn(now, () => {
      if (command.type === 'claim') this.#handleClaim(now, from, command);
      else this.#handleRelease(command);
    });
  }

  handleMalformed(now: Instant, _port: WitnessPort, from: Address, reason: string): void {
    this.#turn(now, () => this.#outbox.emit({ type: 'malformed', from, reason }));
  }

  handleCall(now: Instant): void {
    this.#turn(now, () => {
      this.state.isClosed = true;
      this.#outbox.emit({ type: 'drained' });
    });
  }

  /** A link that broke ends no promise. */
  handlePeerGone(): void {}

  handleWritable(): void {}

  handleStored(now: Instant, token: number, error?: Error): void {
    this.#turn(now, () => {
      const { writing } = this.state;
      if (writing?.token !== token) return;
      this.state.writing = undefined;
      if (error !== undefined) {
        this.state.retryAt = now + STORE_RETRY;
        this.#outbox.emit({ type: 'storeFailed', message: error.message });
        return;
      }
      for (const record of writing.records) this.#stored(now, record);
    });
  }

  handleTimeout(now: Instant): void {
    if (this.nextTimeout <= now) this.#turn(now, () => {});
  }

  #turn(now: Instant, handle: () => void): void {
    if (this.state.isClosed) return;
    this.#begin(now);
    for (const pair of this.state.pairs.values()) this.#lapse(now, pair);
    handle();
    if (this.state.retryAt <= now) this.state.retryAt = -Infinity;
    this.#store();
  }

  #begin(now: Instant): void {
    if (this.state.isBegun) return;
    this.state.isBegun = true;
    for (const record of this.state.restored) {
      const voter = restoredVoter(now, record);
      const { pair: name, epoch: told } = record;
      this.state.pairs.set(name, { name, voter, kept: record, asking: undefined, told });
    }
    this.state.restored = [];
  }

  #lapse(now: Instant, { name, voter: state }: WitnessedPair): void {
    const role = state.promisedTo;
    if (!new Voter(state).lapse(now) || role === undefined) return;
    this.#outbox.emit({ type: 'leaseEnded', pair: name, role });
  }

  // Claims

  #handleClaim(now: Instant, from: Address, claim: ClaimCommand): void {
    const pair = this.#pairOf(from, claim.pair);
    if (pair === undefined) return;
    const voter = new Voter(pair.voter);
    if (!voter.hear(claim)) return this.#outbox.emit({ type: 'ignored', reason: 'stale' });
    const verdict = voter.judge(now, claim);
    if (verdict !== undefined) return this.#refuse(from, pair, claim, verdict);
    voter.promise(now, claim);
    this.state.pairs.set(pair.name, pair);
    pair.asking = { from, claim: { ...claim } };
    if (isKept(pair)) this.#grant(now, pair);
  }

  #handleRelease(release: ReleaseCommand): void {
    const pair = this.state.pairs.get(release.pair);
    if (pair === undefined || !new Voter(pair.voter).release(release)) {
      return this.#outbox.emit({ type: 'ignored', reason: 'stale' });
    }
    pair.asking = undefined;
    this.#outbox.emit({ type: 'released', pair: pair.name, role: release.role });
  }

  /** A new one is known only once it was granted something: a stranger's talk costs no memory. */
  #pairOf(from: Address, name: string): WitnessedPair | undefined {
    const known = this.state.pairs.get(name);
    if (known !== undefined) return known;
    if (this.state.pairs.size < this.#settings.pairLimit) {
      return { name, voter: newVoter(), kept: undefined, asking: undefined, told: 0 };
    }
    this.#outbox.emit({ type: 'pairRefused', from });
    return undefined;
  }

  #grant(now: Instant, pair: WitnessedPair): void {
    const { asking, voter } = pair;
    pair.asking = undefined;
    // What was promised is over: nobody may count on it.
    if (asking === undefined || voter.promisedAt <= now) return;
    const { pair: name, role, life, number, epoch } = asking.claim;
    const grant = { type: 'grant', pair: name, role, life, number, epoch } as const;
    this.#outbox.send('claims', asking.from, grant);
    if (pair.told === epoch) return;
    pair.told = epoch;
    this.#outbox.emit({ type: 'granted', pair: name, role, epoch });
  }

  #refuse(to: Address, pair: WitnessedPair, claim: ClaimCommand, verdict: Verdict): void {
    const { pair: name, role, life, number } = claim;
    const { epoch } = pair.voter;
    const about = { pair: name, role, life, number, epoch };
    this.#outbox.send('claims', to, { type: 'refusal', ...about, ...verdict });
    this.#outbox.emit({ type: 'refused', pair: name, role, reason: verdict.reason });
  }

  // What is stored

  #store(): void {
    const { state } = this;
    if (state.writing !== undefined || state.retryAt > -Infinity) return;
    const pairs = [...state.pairs.values()];
    if (pairs.every((pair) => isKept(pair))) return;
    const records = pairs.flatMap((pair) => recordOf(pair) ?? []);
    // Until the answer nobody knows what is there; nor after it, if that is an error.
    for (const pair of pairs) if (!isKept(pair)) pair.kept = undefined;
    state.token++;
    state.writing = { token: state.token, records };
    this.#outbox.store(state.token, { records });
  }

  #stored(now: Instant, record: WitnessRecord): void {
    const pair = this.state.pairs.get(record.pair);
    if (pair === undefined) return;
    pair.kept = record;
    if (isKept(pair)) this.#grant(now, pair);
  }
}

/** What must not be forgotten of it; undefined if nothing was granted yet. */
function recordOf({ name, voter }: WitnessedPair): WitnessRecord | undefined {
  const { role, epoch, alone, lease } = voter;
  return role === undefined ? undefined : { pair: name, epoch, role, alone, lease };
}

/** True if a restart would forget nothing of it. */
function isKept(pair: WitnessedPair): boolean {
  const [now, then] = [recordOf(pair), pair.kept];
  if (now === undefined || then === undefined) return now === then;
  const isSame = now.epoch === then.epoch && now.role === then.role && now.alone === then.alone;
  return isSame && now.lease === then.lease;
}
