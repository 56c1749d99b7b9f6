/** What the parts of one server's machine share: its state, what they ask of the world, and each other. */
import type { Outbox } from '../core/machine.ts';
import { Claims } from './claims.ts';
import type { ClaimCommand, PairOutput, ReleaseCommand } from './commands.ts';
import type { PairEvent, PairPort, TakeoverFailure } from './failover-events.ts';
import type { Instant } from '../core/machine.ts';
import type { StepDownReason } from '../core/election.ts';
import { modeOf, type PairSettings, type PairState } from './pair-state.ts';
import { PeerWatch } from './peer-watch.ts';
import { RecordKeeper } from './record-keeper.ts';
import type { Mode } from './transitions.ts';
import { Voter } from './voter.ts';

export type PairOutbox = Outbox<PairPort, PairOutput, PairEvent>;

export class PairParts {
  readonly outbox: PairOutbox;
  readonly settings: PairSettings;
  readonly state: PairState;
  readonly mode: Mode;
  readonly peer: PeerWatch;
  readonly voter: Voter;
  readonly kept: RecordKeeper;
  readonly claims: Claims;
  /** Only counted: nothing is decided by them. */
  readonly events: Partial<Record<PairEvent['type'], number>> = {};
  readonly stepDowns: Partial<Record<StepDownReason, number>> = {};

  constructor(outbox: PairOutbox, settings: PairSettings, state: PairState) {
    this.outbox = outbox;
    this.settings = settings;
    this.state = state;
    this.mode = modeOf(settings);
    this.peer = new PeerWatch(state.peer, settings);
    this.voter = new Voter(state.voter);
    this.kept = new RecordKeeper(state.kept);
    this.claims = new Claims(state.claims, settings);
  }

  emit(event: PairEvent): void {
    this.events[event.type] = (this.events[event.type] ?? 0) + 1;
    if (event.type === 'becamePassive') {
      this.stepDowns[event.reason] = (this.stepDowns[event.reason] ?? 0) + 1;
    }
    this.outbox.emit(event);
  }

  /** Tells why a takeover came to nothing; the same reason again only after `pause` milliseconds. */
  failed(now: Instant, reason: TakeoverFailure, pause: number): void {
    const { state } = this;
    if (state.told === reason && now < state.toldAt) return;
    state.told = reason;
    state.toldAt = now + pause;
    this.emit({ type: 'takeoverFailed', reason });
  }

  /** To all voters but ourselves. False: one of the lines had no room for it. */
  sayToVoters(command: ClaimCommand | ReleaseCommand): boolean {
    const isToPeer = this.outbox.send('peer', '', command);
    return this.outbox.send('witness', '', command) && isToPeer;
  }

  /** How this server signs what it says. */
  get speaker(): Pick<ClaimCommand, 'pair' | 'role' | 'life'> {
    const { settings, state } = this;
    return { pair: settings.pair, role: settings.role, life: state.life };
  }
}
