/**
 * What a server hears: of its peer, of its voters, and by what epochs somebody shows.
 *
 * First it is asked whether a message counts at all: it comes on its own port, is of this pair, of the
 * other one in it, and later than all that was heard before. What does not is counted, and changes
 * nothing.
 */
import { isPlausible, type Epoch } from '../core/election.ts';
import type { Address, Instant } from '../core/machine.ts';
import type {
  GrantCommand,
  PairInput,
  RefusalCommand,
  StateCommand,
  StockStateCommand,
} from './commands.ts';
import type { PairPort } from './failover-events.ts';
import type { Lines } from './lines.ts';
import type { PairParts } from './pair-parts.ts';
import type { Seat } from './seat.ts';
import type { Voice } from './voice.ts';
import type { Voting } from './voting.ts';

/** What the digits of stock peers say, from 1 on. */
const STOCK_WORDS = [
  { role: 'primary', state: 'waiting' },
  { role: 'backup', state: 'waiting' },
  { role: undefined, state: 'active' },
  { role: undefined, state: 'passive' },
] as const;

export class Hearing {
  readonly #parts: PairParts;
  readonly #seat: Seat;
  readonly #voting: Voting;
  readonly #voice: Voice;
  readonly #lines: Lines;

  constructor(parts: PairParts, seat: Seat, voting: Voting, voice: Voice, lines: Lines) {
    this.#parts = parts;
    this.#seat = seat;
    this.#voting = voting;
    this.#voice = voice;
    this.#lines = lines;
  }

  /** An outsider shows this epoch: it was granted once, whether anybody served under it or not. */
  seen(now: Instant, epoch: Epoch): void {
    const { settings, state, voter } = this.#parts;
    const known = voter.epoch;
    if (!isPlausible(epoch, Math.max(known, state.epoch))) {
      return this.#parts.emit({ type: 'epochImplausible', epoch });
    }
    this.#learn(now, epoch);
    // If the other one serves under it, it will say so itself: it is not to be deposed by this.
    if (voter.epoch > known) state.listensAt = now + settings.heartbeatInterval;
  }

  /** Something was said on one of its ports. */
  hear(now: Instant, port: PairPort, from: Address, command: PairInput): void {
    const { mode, settings } = this.#parts;
    const isStock = command.type === 'stockState';
    const isAnswer = command.type === 'grant' || command.type === 'refusal';
    const isInPlace = isStock ? port === 'peer' : (port === 'pair') !== isAnswer;
    const isOfMode = isStock === (mode === 'stock') && (!isAnswer || mode === 'witness');
    if (!isInPlace || !isOfMode) {
      return this.#parts.emit({ type: 'ignored', reason: 'unexpected' });
    }
    if (isStock) return this.#hearDigit(now, from, command);
    if (command.pair !== settings.pair) return this.#ignore('otherPair');
    if (isAnswer) return this.#hearAnswer(now, port, command);
    if (command.role === settings.role) return this.#ignore('otherRole');
    if (command.type === 'state') this.#hearState(now, from, command);
    else if (command.type === 'claim') this.#voting.handleClaim(now, from, command);
    else this.#voting.handleRelease(command);
  }

  #hearState(now: Instant, from: Address, command: StateCommand): void {
    const { peer } = this.#parts;
    const fault = peer.order(command);
    if (fault !== undefined) return this.#ignore(fault);
    if (command.state !== 'leaving') this.#noteServed(command);
    this.#learn(now, command.epoch);
    if (command.state === 'leaving') {
      const wasHeard = peer.isHeard;
      peer.lose();
      if (wasHeard) this.#lines.peerLost(now);
      if (wasHeard) this.#parts.emit({ type: 'peerLost', reason: 'leaving' });
      return;
    }
    // It does not know yet that it is over.
    if (command.state === 'active' && command.epoch < this.#parts.voter.epoch) this.#voice.say(now);
    this.#heard(now, from, command);
  }

  /** It serves, or has a state that this server may lack, whoever made that. */
  #noteServed({ state: word, epoch, holds = 0 }: StateCommand): void {
    const { state } = this.#parts;
    state.peerServed = Math.max(state.peerServed, holds, word === 'active' ? epoch : 0);
  }

  #hearDigit(now: Instant, from: Address, { digit }: StockStateCommand): void {
    const { role, state } = STOCK_WORDS[digit - 1]!;
    if (role === this.#parts.settings.role) return this.#ignore('otherRole');
    this.#heard(now, from, { state, epoch: 0, holds: undefined, endpoint: '' });
  }

  /** The peer lives, and this is how it is with it. */
  #heard(
    now: Instant,
    from: Address,
    said: Pick<StateCommand, 'state' | 'epoch' | 'holds' | 'alone' | 'heard' | 'endpoint'>,
  ): void {
    const { peer, settings, state } = this.#parts;
    this.#lines.peerHeard();
    if (peer.hear(now, from, said)) {
      state.listensAt = now + settings.heartbeatInterval;
      this.#parts.emit({ type: 'peerFound', state: said.state, epoch: said.epoch });
    }
    this.#seat.fire(now, 'peerHeard');
    if (!peer.serves(this.#parts.voter.epoch)) return;
    // Of two stock ones that serve the primary goes on.
    if (state.phase === 'active' && settings.role === 'primary') return;
    state.isPromoted = false;
    state.yieldsAt = -Infinity;
    this.#seat.fire(now, 'peerActive');
  }

  #hearAnswer(now: Instant, port: PairPort, command: GrantCommand | RefusalCommand): void {
    const { claims, settings, state } = this.#parts;
    const isOurs = command.role === settings.role && command.life === state.life;
    if (port === 'witness') this.#lines.witnessHeard();
    if (!isOurs) return this.#ignore('stale');
    claims.answered();
    if (command.type === 'grant') {
      if (!claims.answers(command)) return this.#ignore('stale');
      return this.#seat.handleGrant(now, command);
    }
    const claimed = claims.refused(command);
    if (claimed === undefined) return this.#ignore('stale');
    this.#seat.handleRefusal(now, command, claimed);
    // What the peer claims it has not had: what it has seen, its next STATE says.
    if (port === 'witness' || state.phase !== 'active') this.#learn(now, command.epoch);
  }

  #ignore(reason: 'stale' | 'otherPair' | 'otherRole'): void {
    this.#parts.emit({ type: 'ignored', reason });
  }

  /** There is this epoch: whoever serves under a lower one does so no more. */
  #learn(now: Instant, epoch: Epoch): void {
    const { state, voter } = this.#parts;
    voter.learn(epoch);
    if (state.epoch > 0 && epoch > state.epoch) this.#seat.fire(now, 'higherEpoch');
  }
}
