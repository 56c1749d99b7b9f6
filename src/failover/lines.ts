/**
 * The two lines of a server, to its peer and to the witness: opened, and opened anew where nobody answers.
 *
 * What is said to one who is not there waits in the socket, and all of it would be heard when he comes:
 * a day of old words. So a line on which nothing is heard is replaced, with all that waits there, once an
 * expiry or a lease. Whoever hears us though we do not hear him hears the next word on the next line.
 */
import { expiryOf } from '../core/heartbeat.ts';
import type { Instant } from '../core/machine.ts';
import type { PairParts } from './pair-parts.ts';

export class Lines {
  readonly #parts: PairParts;

  constructor(parts: PairParts) {
    this.#parts = parts;
  }

  /** When something is due of them. */
  get nextDue(): Instant {
    const { peerRenewAt, witnessRenewAt, witnessSilentAt } = this.#parts.state;
    return Math.min(peerRenewAt, witnessRenewAt, witnessSilentAt);
  }

  begin(now: Instant): void {
    this.#openPeer(now);
    this.#openWitness();
  }

  /** The peer was heard. */
  peerHeard(): void {
    this.#parts.state.peerRenewAt = Infinity;
  }

  /** The peer is lost: what still waits for it is worth nothing when it comes back. */
  peerLost(now: Instant): void {
    if (this.#parts.mode !== 'stock') this.#openPeer(now);
  }

  /** Claims were sent. */
  claimed(now: Instant): void {
    const { settings, state } = this.#parts;
    if (settings.witness === undefined) return;
    if (state.isWitnessHeard) {
      state.witnessSilentAt = Math.min(state.witnessSilentAt, now + this.#patience);
    } else {
      state.witnessRenewAt = Math.min(state.witnessRenewAt, now + settings.lease);
    }
  }

  witnessHeard(): void {
    const { state } = this.#parts;
    state.witnessSilentAt = Infinity;
    state.witnessRenewAt = Infinity;
    if (state.isWitnessHeard) return;
    state.isWitnessHeard = true;
    this.#parts.emit({ type: 'witnessFound' });
  }

  /** The link to the witness broke: a hint. */
  witnessNoticed(now: Instant): void {
    const { settings, state } = this.#parts;
    if (!state.isWitnessHeard) return;
    state.witnessSilentAt = Math.min(state.witnessSilentAt, now + settings.noticeGrace);
  }

  /** This side was stopped, and could not hear. */
  forgive(now: Instant): void {
    const { state } = this.#parts;
    if (state.witnessSilentAt < Infinity) state.witnessSilentAt = now + this.#patience;
  }

  /** Time has passed. */
  passTime(now: Instant): void {
    const { state } = this.#parts;
    if (state.peerRenewAt <= now) this.#openPeer(now);
    if (state.witnessRenewAt <= now) this.#openWitness();
    if (state.witnessSilentAt > now) return;
    state.witnessSilentAt = Infinity;
    state.isWitnessHeard = false;
    this.#openWitness();
    this.#parts.emit({ type: 'witnessLost' });
  }

  /** Milliseconds without an answer after which nothing is known of the witness. */
  get #patience(): number {
    const { settings } = this.#parts;
    return Math.max(expiryOf(settings), settings.lease);
  }

  #openPeer(now: Instant): void {
    const { mode, outbox, settings, state } = this.#parts;
    outbox.open('peer', settings.peer);
    // Where states are published nothing waits for one who is not there.
    state.peerRenewAt = mode === 'stock' ? Infinity : now + expiryOf(settings);
    // What was said last may have been lost with the old line.
    state.said = '';
  }

  #openWitness(): void {
    const { outbox, settings, state } = this.#parts;
    state.witnessRenewAt = Infinity;
    if (settings.witness !== undefined) outbox.open('witness', settings.witness);
  }
}
