/**
 * What must hold at one server of a pair, judged by what went in and out of it.
 *
 * What it may believe of its peer, until when its lease holds, and whether it has reason to serve are
 * each told by a model of their own; its own mind is asked only for what it shows to everybody.
 */
import { isPlausible, type Epoch } from '../../core/election.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { GrantCommand, PairInput, PairOutput, StateCommand } from '../../failover/commands.ts';
import type { PairCall, PairEvent, PairPort, PairStatus } from '../../failover/failover-events.ts';
import type { PairMachine } from '../../failover/pair-machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { LeaseView } from './lease-view.ts';
import { PeerView, type PeerSettings } from './peer-view.ts';
import { Reasons } from './reasons.ts';
import type { FailoverStage } from './stage.ts';

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

/** No honest pair comes as far. */
const ABSURD = 2 ** 30;

type PairStep = Input<PairPort, PairInput, PairCall>;

export class PairChecker implements MachineChecker<
  PairPort,
  PairInput,
  PairOutput,
  PairCall,
  PairEvent
> {
  readonly #stage: FailoverStage;
  readonly #settings: PeerSettings;
  readonly #name: string;
  readonly #machine: () => PairMachine;
  readonly #peer: PeerView;
  readonly #lease: LeaseView;
  readonly #reasons: Reasons;
  /** Where the last word of the peer that counts came from. */
  #heardFrom: Address | undefined;
  #now: Instant = 0;
  #steppedAt: Instant = Infinity;
  /** How late it was, or how long nothing had reached it. */
  #gap = 0;
  #isClosed = false;
  #life = 0;
  #saidAt: Instant = Infinity;
  /** The epoch under which it said last that it serves; 0: that it does not. */
  #saysActive: Epoch | undefined;
  /** The highest epoch that it was shown and could believe, or used. */
  #known: Epoch = 0;
  /** The highest that anybody of the pair mentioned, whatever he meant by it. */
  #heardOf: Epoch = 0;
  #reign: Epoch = 0;
  /** It has found in this step that it was stopped. */
  #wasStopped = false;
  /** What it was after the last step. */
  #state: PairStatus['state'] = 'waiting';
  // What this step's input is.
  #verdict: ReturnType<PeerView['judge']> | 'fresh';
  #ignored: string | undefined;
  #shown: Epoch = 0;
  #isStaleClaim = false;

  constructor(
    stage: FailoverStage,
    name: string,
    settings: PeerSettings,
    machine: () => PairMachine,
  ) {
    this.#stage = stage;
    this.#name = name;
    this.#settings = settings;
    this.#machine = machine;
    this.#peer = new PeerView(settings);
    this.#lease = new LeaseView(stage.clockDrift);
    this.#reasons = new Reasons(stage, name, settings, this.#peer);
  }

  /** The epoch of the state that it has, as it was told. */
  get holds(): number {
    return this.#reasons.holds;
  }

  // Inputs

  before(now: Instant, input: PairStep): void {
    requireThat(now >= this.#now, 'monotonic time', () => `${now} after ${this.#now}`);
    this.#now = now;
    this.#reasons.begin(now);
    const due = this.#machine().nextTimeout;
    this.#gap = Math.max(now - due, now - this.#steppedAt);
    this.#steppedAt = now;
    const { heartbeatInterval } = this.#settings;
    if (now - due > heartbeatInterval) this.#peer.forgive(now, heartbeatInterval);
    this.#verdict = undefined;
    this.#ignored = undefined;
    this.#shown = 0;
    this.#isStaleClaim = false;
    this.#wasStopped = false;
    if (input.kind === 'command') this.#hear(input.port, input.from, input.command);
    else if (input.kind === 'peerGone') this.#noteGone(input.port, input.from);
    else if (input.kind === 'call') this.#noteCall(input.call);
  }

  /** Others come and go too: it is the link that the peer was heard on that counts. */
  #noteGone(port: PairPort, from: Address): void {
    if (port === 'peer' || (port === 'pair' && from === this.#heardFrom))
      this.#peer.noticed(this.#now);
  }

  #hear(port: PairPort, from: Address, command: PairInput): void {
    const { pair, role } = this.#settings;
    if (command.type !== 'stockState' && command.pair === pair) {
      this.#heardOf = Math.max(this.#heardOf, command.epoch);
    }
    switch (command.type) {
      case 'state': {
        this.#verdict = this.#peer.judge(command) ?? 'fresh';
        if (this.#verdict !== 'fresh' || port !== 'pair') return;
        this.#peer.heard(this.#now, command);
        this.#heardFrom = from;
        if (command.state === 'active') this.#show(command.epoch);
        this.#stage.learned(this.#name, this.#peer.servedUnder);
        return;
      }
      case 'stockState':
        // 1 is the primary's, and 2 the backup's.
        if (command.digit === (role === 'primary' ? 1 : 2) || port !== 'peer') return;
        return this.#peer.heardDigit(this.#now, command.digit);
      case 'claim':
        // Before it has said anything itself it answers nothing, and remembers nothing of it.
        if (command.pair !== pair || command.role === role || this.#life === 0) return;
        this.#isStaleClaim = this.#stage
          .promisesOf(this.#name)
          .isStale(this.#stage.world.now, command);
        return;
      case 'grant':
        if (command.pair !== pair || command.role !== role || port === 'pair') return;
        return this.#lease.granted(command, this.#life);
      case 'release':
        if (command.pair !== pair || command.role === role) return;
        return this.#stage.promisesOf(this.#name).released(command);
      default:
    }
  }

  #noteCall(call: PairCall): void {
    this.#reasons.called(call);
    if (call.type === 'seen') this.#show(call.epoch);
    else if (call.type === 'drain' || call.type === 'stop') this.#isClosed = true;
  }

  #show(epoch: Epoch): void {
    if (!isPlausible(epoch, this.#machine().highestEpoch)) return;
    this.#shown = epoch;
    this.#heardOf = Math.max(this.#heardOf, epoch);
    this.#known = Math.max(this.#known, epoch);
  }

  // Outputs

  said(port: PairPort, _to: Address, command: PairOutput, accepted: boolean): void {
    // What does not fit is said again with the next heartbeat.
    this.#noteSaying(command);
    if (!accepted || command.type === 'stockState') return;
    requireThat(command.pair === this.#settings.pair, 'other pairs are ignored', () => {
      return `${this.#name} answers '${command.pair}'`;
    });
    if (command.type === 'grant' || command.type === 'refusal') {
      requireThat(!this.#isStaleClaim, 'stale is ignored', () => {
        return `${this.#name} answers ${command.life}.${command.number}, which came late`;
      });
      if (command.type === 'grant') this.#checkGrant(command);
      return;
    }
    this.#checkStored(command.life, 0);
    this.#stage.overheard(port === 'witness' ? 'witness' : 'pair', this.#name, command);
    if (command.type === 'state') {
      if (command.state === 'active') this.#checkStored(command.life, command.epoch);
      return;
    }
    if (command.type === 'release') return;
    this.#checkStored(command.life, command.epoch);
    this.#checkPromise('claims');
    this.#lease.claimed(this.#now, command);
    const isTrue = this.#reign > 0 || command.forced || !this.#reasons.mustWait;
    requireThat(isTrue || !command.synchronised, 'unsynchronised stays passive', () => {
      return `${this.#name} claims ${command.epoch} as if it had all of ${this.#peer.servedUnder}`;
    });
  }

  #noteSaying(command: PairOutput): void {
    const isState = command.type === 'state' || command.type === 'stockState';
    if (!isState) return;
    this.#saidAt = this.#now;
    const isActive = command.type === 'state' ? command.state === 'active' : command.digit === 3;
    this.#saysActive = isActive ? this.#machine().status(this.#now).epoch : 0;
  }

  /** What it says of itself would be read after a crash. */
  #checkStored(life: number, epoch: Epoch): void {
    const record = this.#stage.recordOf(this.#name);
    requireThat(
      record !== undefined && record.life === life && record.epoch >= epoch,
      'stored before use',
      () => `${this.#name} shows life ${life}, epoch ${epoch}; ${JSON.stringify(record)} is stored`,
    );
    if (this.#life === 0) {
      this.#life = life;
      this.#stage.lived(this.#name, life);
    }
    requireThat(life === this.#life, 'stored before use', () => {
      return `${this.#name} says that its life is ${life}, and it was ${this.#life}`;
    });
  }

  #checkGrant(grant: GrantCommand): void {
    const { epoch } = grant;
    const own = this.#machine().epochAt(this.#now);
    requireThat(own === 0, 'voters keep their word', () => {
      return `${this.#name} grants ${epoch} while it serves under ${own}`;
    });
    const record = this.#stage.recordOf(this.#name);
    requireThat((record?.epoch ?? 0) >= epoch, 'stored before use', () => {
      return `${this.#name} grants ${epoch}; ${JSON.stringify(record)} is stored`;
    });
    this.#stage.promisesOf(this.#name).granted(this.#stage.world.now, grant);
  }

  /** Who has said yes to the other one does not serve, nor wants to, for so long. */
  #checkPromise(does: string): void {
    const holder = this.#stage.promisesOf(this.#name).holderAt(this.#stage.world.now);
    requireThat(holder === undefined, 'voters keep their word', () => {
      return `${this.#name} ${does}, and has promised ${holder} not to`;
    });
  }

  told(event: PairEvent): void {
    switch (event.type) {
      case 'becameActive':
        return this.#checkBegun(event.epoch);
      case 'becamePassive':
        requireThat(
          event.reason !== 'higherEpoch' || this.#heardOf > event.epoch,
          'lives on',
          () => `${this.#name} gives way to ${this.#heardOf}, and served under ${event.epoch}`,
        );
        this.#stage.reigns.ended();
        this.#reign = 0;
        return this.#reasons.deposed(event.epoch, event.reason);
      case 'servesAlone':
        return this.#stage.reigns.mark(event.epoch);
      case 'ignored':
        this.#ignored = event.reason;
        return;
      case 'wasStopped': {
        const { heartbeatInterval } = this.#settings;
        requireThat(
          this.#gap > expiryOf(this.#settings) - heartbeatInterval - ROUNDING,
          'the stopped distrust themselves',
          () => `${this.#name} says that it was stopped, after ${this.#gap} ms`,
        );
        this.#wasStopped = true;
        return this.#peer.forgive(this.#now, expiryOf(this.#settings));
      }
      case 'drained':
        this.#isClosed = true;
        return;
      default:
    }
  }

  #checkBegun(epoch: Epoch): void {
    this.#reasons.checkHeritage(epoch);
    this.#stage.reigns.began(this.#settings.role, epoch);
    this.#checkStored(this.#stage.recordOf(this.#name)?.life ?? 0, epoch);
    if (this.#stage.plan.mode === 'witness') {
      this.#checkPromise('begins to serve');
      const isGranted = this.#now < this.#lease.untilOf(epoch);
      requireThat(isGranted, 'takes over for a reason', () => {
        return `${this.#name} serves under ${epoch}, which nobody granted`;
      });
    } else if (this.#state !== 'preparing') this.#reasons.check(this.#machine().highestEpoch);
    this.#reign = epoch;
    this.#reasons.served();
    // What the other one did before is of no account any more.
    this.#peer.servedUnder = 0;
    this.#stage.learned(this.#name, 0);
    this.#known = Math.max(this.#known, epoch);
  }

  // After each step

  after(now: Instant, input: PairStep): void {
    const machine = this.#machine();
    const status = machine.status(now);
    const epoch = machine.epochAt(now);
    requireThat(status.state !== 'closed' || this.#isClosed, 'lives on', () => {
      return `${this.#name} ends by itself`;
    });
    const isAttempt = status.state === 'preparing' && this.#state !== 'preparing';
    if (isAttempt && this.#stage.plan.mode !== 'witness') this.#reasons.check(machine.highestEpoch);
    this.#state = status.state;
    this.#checkOrder(input);
    if (!this.#isClosed) {
      this.#checkBelief(now, status);
      this.#checkTold(now, status);
    }
    const mayServe = !this.#wasStopped || this.#stage.hasWitness;
    requireThat(mayServe || epoch === 0, 'the stopped distrust themselves', () => {
      return `${this.#name} was stopped, and serves on under ${epoch}`;
    });
    requireThat(machine.highestEpoch < ABSURD, 'liars are not believed', () => {
      return `${this.#name} believes in ${machine.highestEpoch}`;
    });
    requireThat(epoch === 0 || epoch === this.#reign, 'epochs are unique', () => {
      return `${this.#name} serves under ${epoch}, and said that it does under ${this.#reign}`;
    });
    requireThat(epoch === 0 || epoch >= this.#shown, 'higher epochs depose', () => {
      return `${this.#name} was shown ${this.#shown}, and serves under ${epoch}`;
    });
    requireThat(machine.highestEpoch >= this.#known, 'higher epochs depose', () => {
      return `${this.#name} knows of ${machine.highestEpoch}, and was shown ${this.#known}`;
    });
    if (this.#stage.plan.mode === 'witness' && epoch > 0) {
      const until = this.#lease.untilOf(epoch);
      requireThat(now < until + ROUNDING, 'leases are kept', () => {
        return `${this.#name} serves under ${epoch} at ${now}, and its lease ended at ${until}`;
      });
    }
    this.#peer.settle(now);
    this.#stage.checkServing();
  }

  #checkOrder(input: PairStep): void {
    if (input.kind !== 'command' || input.command.type !== 'state' || this.#isClosed) return;
    const verdict = this.#verdict;
    const expected = verdict === 'fresh' ? undefined : verdict;
    const invariant = verdict === 'otherPair' ? 'other pairs are ignored' : 'stale is ignored';
    requireThat(this.#ignored === expected, invariant, () => {
      const { pair, role, life, beat } = input.command as StateCommand;
      return `${this.#name} takes ${pair}/${role} ${life}.${beat} for ${this.#ignored ?? 'fresh'}`;
    });
  }

  #checkBelief(now: Instant, { peer, state }: PairStatus): void {
    // Nothing is judged of its peer before its first record is stored.
    if (this.#life === 0) return;
    const belief = this.#peer.beliefAt(now);
    const isLost = peer === 'lost' || peer === 'unheard';
    const isSame = belief === 'either' || (belief === 'lost' ? isLost : peer === belief);
    requireThat(isSame, 'silence is noticed', () => {
      return `${this.#name} believes that its peer is ${peer}, and it is ${belief}`;
    });
    if (state === 'active') return;
    const { last } = this.#peer;
    if (belief === 'active' && last!.epoch < this.#machine().highestEpoch) return;
    const expected = belief === 'active' ? last!.endpoint : '';
    const shown = this.#machine().activeEndpoint;
    requireThat(shown === expected, 'answers', () => {
      return `${this.#name} sends clients to '${shown}', and '${expected}' is active`;
    });
  }

  /** The peer is told each heartbeat, and of what changed at once. */
  #checkTold(now: Instant, status: PairStatus): void {
    const said = this.#saysActive;
    if (said === undefined) return;
    const { heartbeatInterval } = this.#settings;
    requireThat(now <= this.#saidAt + heartbeatInterval + ROUNDING, 'the peer is told', () => {
      return `${this.#name} has said nothing since ${this.#saidAt}, and it is ${now}`;
    });
    requireThat(said === status.epoch, 'the peer is told', () => {
      return `${this.#name} is ${status.state} under ${status.epoch}, and said ${said}`;
    });
  }
}
