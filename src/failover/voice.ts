/** What a server tells its peer of itself: with each heartbeat, and at once whenever it changes. */
import type { Instant } from '../core/machine.ts';
import type { PeerState as Word, StateCommand } from './commands.ts';
import type { PairParts } from './pair-parts.ts';
import type { Seat } from './seat.ts';

export class Voice {
  readonly #parts: PairParts;
  readonly #seat: Seat;

  constructor(parts: PairParts, seat: Seat) {
    this.#parts = parts;
    this.#seat = seat;
  }

  /** Says how it is if that is due, or is not what was said last. */
  speak(now: Instant): void {
    const { kept, state } = this.#parts;
    if (!kept.isAlive) return;
    if (state.beatAt <= now || state.said !== this.#sayable(now)) this.say(now);
  }

  /** Says how it is, once its life is stored: nobody could tell it from an earlier one before. */
  say(now: Instant): void {
    const { kept, outbox, settings, speaker, state, voter } = this.#parts;
    if (!kept.isAlive) return;
    state.said = this.#sayable(now);
    state.beatAt = now + settings.heartbeatInterval;
    if (this.#parts.mode === 'stock') {
      outbox.send('pair', '', { type: 'stockState', digit: this.#digit });
      return;
    }
    const holds = this.#seat.candidacy.holds(now);
    const command: StateCommand = {
      type: 'state',
      ...speaker,
      beat: ++state.beat,
      state: this.#word,
      epoch: voter.epoch,
      holds: Number.isFinite(holds) ? holds : undefined,
      alone: this.#isAlone ? true : undefined,
      heard: state.peer.life === 0 ? undefined : state.peer.life,
      endpoint: state.standing.endpoint,
    };
    // What had no room is said as soon as there is some: see `speak`.
    if (!outbox.send('peer', '', command)) state.said = '';
  }

  #sayable(now: Instant): string {
    if (this.#parts.mode === 'stock') return String(this.#digit);
    const { state, voter } = this.#parts;
    const holds = this.#seat.candidacy.holds(now);
    const { peer, standing } = state;
    return [this.#word, voter.epoch, holds, this.#isAlone, peer.life, standing.endpoint].join(' ');
  }

  /** What this server does, or did last, nobody else has. */
  get #isAlone(): boolean {
    const { phase, standing } = this.#parts.state;
    const hasState = standing.holds > 0 && Number.isFinite(standing.holds);
    return standing.alone && (phase === 'active' || hasState);
  }

  get #word(): Word {
    switch (this.#parts.state.phase) {
      case 'preparing':
      case 'claiming':
        return 'passive';
      case 'closed':
        return 'leaving';
      default:
        return this.#parts.state.phase;
    }
  }

  /** Two that say `4` give up, where both are of another make: only who hears an active one says so. */
  get #digit(): 1 | 2 | 3 | 4 {
    const { peer, settings, state, voter } = this.#parts;
    if (state.phase === 'active') return 3;
    if (state.phase !== 'closed' && peer.serves(voter.epoch)) return 4;
    return settings.role === 'primary' ? 1 : 2;
  }
}
