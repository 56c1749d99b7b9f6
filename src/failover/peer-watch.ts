/**
 * What is known of the peer: whether it lives, what it does, and which of its words is the last one.
 *
 *   unheard ──fresh STATE──► heard ──silence, broken link, 'leaving'──► lost ──fresh STATE──► heard
 *
 * Only a word that is later than all before counts for anything: an old one that was held up somewhere
 * says nothing of now, and must not keep a dead peer alive. A broken link is a suspicion for the time of
 * the grace: a TCP reset looks the same as a death, and is mended in about 10 ms.
 */
import type { Epoch } from '../core/election.ts';
import { expiryOf } from '../core/heartbeat.ts';
import type { Address, Instant } from '../core/machine.ts';
import type { Life, PeerState as Word, Role, StateCommand } from './commands.ts';
import type { PairSettings } from './pair-state.ts';

/** Plain data: part of the machine's state. */
export interface PeerState {
  contact: 'unheard' | 'heard' | 'lost';
  /** What it said last. */
  state: Word;
  epoch: Epoch;
  holds: number;
  /** It served alone when it was heard last, or when it served last. */
  alone: boolean;
  /** The life of ours that it had heard. */
  heard: Life;
  endpoint: string;
  /** The last word that was heard. */
  life: Life;
  beat: number;
  /** Where that came from. */
  address: Address;
  /** When it is lost, or has been silent from the start for so long that it may be dead. */
  expiresAt: Instant;
  /** Its link broke: it is lost then, unless it is heard before. */
  suspectAt: Instant;
  /** Since when it lives and does not serve. */
  idleAt: Instant;
}

/** Nobody was heard yet. */
export function newPeer(): PeerState {
  return {
    contact: 'unheard',
    state: 'waiting',
    epoch: 0,
    holds: Infinity,
    alone: false,
    heard: 0,
    endpoint: '',
    life: 0,
    beat: 0,
    address: '',
    expiresAt: Infinity,
    suspectAt: Infinity,
    idleAt: Infinity,
  };
}

export type PeerLoss = 'silent' | 'gone' | 'leaving';

export class PeerWatch {
  readonly #state: PeerState;
  readonly #settings: PairSettings;

  constructor(state: PeerState, settings: PairSettings) {
    this.#state = state;
    this.#settings = settings;
  }

  /** When something is due of it. */
  get nextDue(): Instant {
    return Math.min(this.#state.expiresAt, this.#state.suspectAt);
  }

  get isHeard(): boolean {
    return this.#state.contact === 'heard';
  }

  /** Its link broke a moment ago, and it was not heard since. */
  get isSuspect(): boolean {
    return this.#state.suspectAt < Infinity;
  }

  /** True if it has been silent for long enough to be dead. */
  get isGone(): boolean {
    return !this.isHeard && this.#state.expiresAt === Infinity;
  }

  /** True if it lives and serves, and nobody has shown a higher epoch than its own. */
  serves(known: Epoch): boolean {
    const isCurrent = this.#settings.protocol === 'stock' || this.#state.epoch >= known;
    return this.isHeard && this.#state.state === 'active' && isCurrent;
  }

  /** True if it lives and does not serve. */
  get isIdle(): boolean {
    return this.isHeard && this.#state.state !== 'active';
  }

  /** From now on silence counts. */
  begin(now: Instant): void {
    this.#state.expiresAt = now + expiryOf(this.#settings);
  }

  /** Why this word does not count; undefined, and it is the last one from now on, if it does. */
  order(command: {
    readonly pair: string;
    readonly role: Role;
    readonly life: Life;
    readonly beat: number;
  }): 'otherPair' | 'otherRole' | 'stale' | undefined {
    const state = this.#state;
    if (command.pair !== this.#settings.pair) return 'otherPair';
    if (command.role === this.#settings.role) return 'otherRole';
    const isLater =
      command.life > state.life || (command.life === state.life && command.beat > state.beat);
    if (!isLater) return 'stale';
    state.life = command.life;
    state.beat = command.beat;
    return undefined;
  }

  /** It lives, and this is how it is with it. True if it was not known to live. */
  hear(
    now: Instant,
    from: Address,
    said: Pick<StateCommand, 'state' | 'epoch' | 'holds' | 'alone' | 'heard' | 'endpoint'>,
  ): boolean {
    const state = this.#state;
    const isNews = !this.isHeard;
    if (isNews || state.state === 'active') state.idleAt = now;
    state.contact = 'heard';
    state.state = said.state;
    state.epoch = said.epoch;
    state.holds = said.holds ?? Infinity;
    state.alone = said.alone === true;
    state.heard = said.heard ?? 0;
    state.endpoint = said.endpoint;
    state.address = from;
    state.suspectAt = Infinity;
    this.begin(now);
    return isNews;
  }

  /** Its link broke. False if that is no news, or nothing of ours. */
  suspect(now: Instant): boolean {
    if (!this.isHeard || this.isSuspect) return false;
    this.#state.suspectAt = now + this.#settings.noticeGrace;
    return true;
  }

  /** This side was stopped, or late, and could not hear: the peer has so much more time. */
  forgive(now: Instant, milliseconds: number): void {
    const state = this.#state;
    const until = now + milliseconds;
    if (state.expiresAt < Infinity) state.expiresAt = Math.max(state.expiresAt, until);
    if (this.isSuspect) {
      state.suspectAt = Math.max(state.suspectAt, now + this.#settings.noticeGrace);
    }
  }

  /** Why it is lost now; undefined if it is not, or was before. */
  expire(now: Instant): PeerLoss | undefined {
    const { expiresAt, suspectAt } = this.#state;
    if (Math.min(expiresAt, suspectAt) > now) return undefined;
    const wasHeard = this.isHeard;
    this.lose();
    if (!wasHeard) return undefined;
    return suspectAt <= now ? 'gone' : 'silent';
  }

  /** It is gone. */
  lose(): void {
    const state = this.#state;
    if (this.isHeard) state.contact = 'lost';
    state.expiresAt = Infinity;
    state.suspectAt = Infinity;
    state.idleAt = Infinity;
    state.address = '';
  }

  /**
   * True if the peer goes first where nobody serves: who holds the newer state; of one reign who served
   * alone at its end; of equals the primary. A stock one says nothing of its state.
   * @param holds what this server has; see `Standing.holds`
   * @param alone it served alone last
   */
  goesFirst(holds: number, alone: boolean): boolean {
    const isBackup = this.#settings.role === 'backup';
    if (this.#settings.protocol === 'stock') return isBackup;
    if (this.#state.holds !== holds) return this.#state.holds > holds;
    return this.#state.alone === alone ? isBackup : this.#state.alone;
  }
}
