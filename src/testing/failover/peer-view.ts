/**
 * What one server may believe of the other, by what reached it: a word counts if it names this pair and
 * the other role, and was said later than the last one that counted.
 */
import type { Epoch } from '../../core/election.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import type { PeerState, Role, StateCommand, StockStateCommand } from '../../failover/commands.ts';

export interface PeerSettings {
  readonly pair: string;
  readonly role: Role;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  readonly noticeGrace: number;
}

/** What may be believed; `either` within a break that may be over or not. */
export type Belief = 'unheard' | 'lost' | 'either' | PeerState;

/** What counts of a word. A stock peer says neither who it is nor under which epoch. */
export type Heard = Pick<
  StateCommand,
  'life' | 'beat' | 'state' | 'epoch' | 'holds' | 'alone' | 'endpoint'
>;

/** What a stock peer says, by its digit. */
const STOCK_STATES = { 1: 'waiting', 2: 'waiting', 3: 'active', 4: 'passive' } as const;

export class PeerView {
  readonly #settings: PeerSettings;
  #last: Heard | undefined;
  #lostAt: Instant = Infinity;
  #firstNoticeAt: Instant = Infinity;
  #isGone = false;
  /** The highest epoch that it was heard to serve under, or to have the state of. */
  servedUnder: Epoch = 0;

  constructor(settings: PeerSettings) {
    this.#settings = settings;
  }

  /** What was last heard that counts. */
  get last(): Heard | undefined {
    return this.#last;
  }

  /** Returns why it does not count, or undefined if it does. */
  judge(command: StateCommand): 'otherPair' | 'otherRole' | 'stale' | undefined {
    const { pair, role } = this.#settings;
    const last = this.#last;
    if (command.pair !== pair) return 'otherPair';
    if (command.role === role) return 'otherRole';
    if (last === undefined || command.life > last.life) return undefined;
    return command.life === last.life && command.beat > last.beat ? undefined : 'stale';
  }

  /** A word that counts. */
  heard(now: Instant, command: Heard): void {
    this.#last = { ...command };
    this.#firstNoticeAt = Infinity;
    this.#isGone = command.state === 'leaving';
    this.#lostAt = now + expiryOf(this.#settings);
    const { state, epoch, holds = 0 } = command;
    if (state === 'leaving') return;
    this.servedUnder = Math.max(this.servedUnder, holds, state === 'active' ? epoch : 0);
  }

  /** Whatever a stock peer says counts. */
  heardDigit(now: Instant, digit: StockStateCommand['digit']): void {
    const state = STOCK_STATES[digit];
    this.heard(now, { life: 0, beat: 0, state, epoch: 0, endpoint: '' });
  }

  noticed(now: Instant): void {
    this.#firstNoticeAt = Math.min(this.#firstNoticeAt, now);
  }

  /** Who was stopped or late itself waits for so much longer, unless the peer was lost before. */
  forgive(now: Instant, milliseconds: number): void {
    if (!this.#isGone) this.#lostAt = Math.max(this.#lostAt, now + milliseconds);
  }

  /** After each step: what is lost by now stays so until it is heard. */
  settle(now: Instant): void {
    if (now >= this.#lostAt) this.#isGone = true;
  }

  beliefAt(now: Instant): Belief {
    if (this.#last === undefined) return 'unheard';
    if (this.#isGone || now >= this.#lostAt) return 'lost';
    if (now >= this.#firstNoticeAt) return 'either';
    return this.#last.state;
  }

  /** True if a server may hold that nobody is there: it is lost, or may be, or was never heard. */
  mayBeLostAt(now: Instant): boolean {
    const belief = this.beliefAt(now);
    if (belief !== 'either') return belief === 'lost' || belief === 'unheard';
    return now >= this.#firstNoticeAt + this.#settings.noticeGrace;
  }
}
