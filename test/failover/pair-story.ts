/**
 * What the stories of a pair are told with: `PairStory`, one server driven by hand; and `PairWorld`, both of
 * them and a witness on one clock, with links that can be cut one way, pauses, deaths and restarts.
 */
import type { StepDownReason } from '../../src/core/election.ts';
import type { Instant } from '../../src/core/machine.ts';
import type {
  ClaimCommand,
  PairInput,
  PairOutput,
  Role,
  StateCommand,
} from '../../src/failover/commands.ts';
import { otherRole } from '../../src/failover/epochs.ts';
import type {
  PairCall,
  PairEvent,
  PairPort,
  PairRecord,
  WitnessRecord,
} from '../../src/failover/failover-events.ts';
import { PairMachine, type PairSettings } from '../../src/failover/pair-machine.ts';
import { WitnessMachine } from '../../src/failover/witness-machine.ts';
import { Actor } from '../actor.ts';

export const storySettings: PairSettings = {
  role: 'primary',
  pair: 'pair',
  peer: 'tcp://peer:1',
  protocol: 'own',
  heartbeatInterval: 250,
  heartbeatLiveness: 4,
  noticeGrace: 100,
  lease: 1000,
  clockDrift: 0.01,
};

/** What `interval × liveness` comes to here. */
export const EXPIRY = 1000;

/** One server; what it stores is durable at once unless `hold()` was called. */
export class PairStory extends Actor<PairPort, PairInput, PairOutput, PairCall, PairEvent> {
  declare readonly machine: PairMachine;
  readonly settings: PairSettings;
  readonly stores: { readonly token: number; readonly record: PairRecord }[];
  /** What is durable. */
  record: PairRecord | undefined;
  isHeld = false;
  /** Of the peer whose words are made up here. */
  life = 1;
  #beat = 0;
  #number = 0;

  constructor(settings: Partial<PairSettings> = {}, record?: PairRecord, isHeld = false) {
    const stores: { token: number; record: PairRecord }[] = [];
    const complete = { ...storySettings, ...settings };
    const store = (token: number, batch: unknown): void => {
      stores.push({ token, record: batch as PairRecord });
    };
    super((outbox) => new PairMachine({ ...outbox, store }, complete, record));
    this.settings = complete;
    this.stores = stores;
    this.record = record;
    this.isHeld = isHeld;
    this.turn(() => this.machine.handleTimeout(this.now));
  }

  /** Does this, and lets the store answer. */
  turn(what: () => void): void {
    what();
    while (!this.isHeld && this.stores.length > 0) this.stored();
  }

  /** The store answers the oldest write. */
  stored(error?: string): void {
    const store = this.stores.shift();
    if (store === undefined) throw new Error('nothing is being stored');
    if (error === undefined) this.record = store.record;
    const failure = error === undefined ? undefined : new Error(error);
    this.machine.handleStored(this.now, store.token, failure);
  }

  hold(): void {
    this.isHeld = true;
  }

  release(): void {
    this.isHeld = false;
    this.turn(() => {});
  }

  override call(call: PairCall): void {
    this.turn(() => super.call(call));
  }

  /** A client comes. */
  ask(): void {
    this.call({ type: 'asked' });
  }

  override wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.machine.nextTimeout <= until) {
      this.now = Math.max(this.now, this.machine.nextTimeout);
      this.turn(() => this.machine.handleTimeout(this.now));
    }
    this.now = until;
  }

  /** The peer lives, and says this each heartbeat while so much time passes. */
  hearFor(milliseconds: number, said: Partial<StateCommand>): void {
    for (const until = this.now + milliseconds; this.now < until;) {
      this.hear(said);
      this.wait(Math.min(this.settings.heartbeatInterval, until - this.now));
    }
  }

  hear(said: Partial<StateCommand>): StateCommand {
    const command: StateCommand = {
      type: 'state',
      pair: this.settings.pair,
      role: otherRole(this.settings.role),
      life: this.life,
      beat: ++this.#beat,
      state: 'passive',
      epoch: 0,
      heard: this.machine.state.life,
      endpoint: '',
      ...said,
    };
    this.say('pair', command);
    return command;
  }

  /** The peer wants this server's vote. */
  claimed(claim: Partial<ClaimCommand>): void {
    this.say('pair', {
      type: 'claim',
      pair: this.settings.pair,
      role: otherRole(this.settings.role),
      life: this.life,
      number: ++this.#number,
      epoch: 1,
      lease: this.settings.lease,
      synchronised: true,
      alone: false,
      forced: false,
      ...claim,
    });
  }

  /** A voter says yes to the last claim, or to that of this number. */
  grant(port: 'peer' | 'witness' = 'witness', number = this.claim.number): void {
    const { pair, role, life, epoch } = this.claim;
    this.say(port, { type: 'grant', pair, role, life, epoch, number });
  }

  say(port: PairPort, command: PairInput): void {
    const from = port === 'pair' ? 'the peer' : '';
    this.turn(() => this.machine.handleCommand(this.now, port, from, command));
  }

  digit(digit: 1 | 2 | 3 | 4): void {
    this.say('peer', { type: 'stockState', digit });
  }

  gone(port: PairPort): void {
    const from = port === 'pair' ? 'the peer' : '';
    this.turn(() => this.machine.handlePeerGone(this.now, port, from));
  }

  /** The process dies and is started again with what was durable. */
  restart(settings: Partial<PairSettings> = {}): PairStory {
    return new PairStory({ ...this.settings, ...settings }, this.record, this.isHeld);
  }

  get state(): string {
    const { state, epoch } = this.machine.status(this.now);
    return epoch === 0 ? state : `${state} ${epoch}`;
  }

  /** The last claim that it sent. */
  get claim(): ClaimCommand {
    const claim = this.sent.map(({ command }) => command).findLast(({ type }) => type === 'claim');
    if (claim?.type !== 'claim') throw new Error('nothing was claimed');
    return claim;
  }

  /** Of its last word to the peer. */
  get word(): StateCommand {
    const word = this.sent.map(({ command }) => command).findLast(({ type }) => type === 'state');
    if (word?.type !== 'state') throw new Error('nothing was said');
    return word;
  }

  /** What was told since it was last asked, without what comes and goes: `becameActive 3`. */
  get told(): string[] {
    return this.events.splice(0).map(lineOf);
  }
}

/** One event as a line. */
export function lineOf(event: PairEvent): string {
  const { type, ...rest } = event;
  return [type, ...Object.values(rest)].join(' ').trim();
}

interface Message {
  readonly at: Instant;
  readonly from: Place;
  readonly to: Place;
  readonly deliver: () => void;
}

export type Place = Role | 'witness';

interface Server {
  machine: PairMachine;
  readonly events: string[];
  record: PairRecord | undefined;
  /** Which of its lives: what was said to an earlier one does not arrive. */
  birth: number;
  isAlive: boolean;
}

export class PairWorld {
  now: Instant = 0;
  /** How long each message is on its way, and each write in the store. */
  delay: () => number = () => 1;
  /** How fast each one's clock runs. */
  readonly rates: Record<Place, number> = { primary: 1, backup: 1, witness: 1 };
  readonly witnessed: readonly WitnessRecord[] = [];
  /** `primary>backup`: nothing passes in this direction. */
  readonly cuts = new Set<`${Place}>${Place}`>();
  /** Whose lines take nothing more. */
  readonly #full = new Set<Role>();
  /** Each change of who serves: `1001 primary becameActive 1`. */
  readonly story: string[] = [];
  readonly #settings: Partial<PairSettings>;
  readonly #servers = new Map<Role, Server>();
  readonly #paused = new Set<Role>();
  #queue: Message[] = [];
  #witness: WitnessMachine | undefined;
  #records: readonly WitnessRecord[] = [];
  #births = 0;

  /** Both servers are started; with `witness: ''` there is one, too. */
  constructor(settings: Partial<PairSettings> = {}) {
    this.#settings = settings;
    if (settings.witness !== undefined) this.startWitness();
    this.start('primary');
    this.start('backup');
  }

  start(role: Role): void {
    const old = this.#servers.get(role);
    const events = old?.events ?? [];
    const birth = ++this.#births;
    const address = `${role}-${birth}`;
    const here = (deliver: () => void) => () => {
      if (this.#servers.get(role)?.birth === birth) deliver();
    };
    const machine: PairMachine = new PairMachine(
      {
        open: () => {},
        close: () => {},
        send: (port, to, command) => this.#send(role, port, address, to, command),
        store: (token, batch) => {
          const deliver = here(() => {
            this.#servers.get(role)!.record = batch as PairRecord;
            machine.handleStored(this.#clock(role), token);
          });
          this.#queue.push({ at: this.now + this.delay(), from: role, to: role, deliver });
        },
        emit: (event) => {
          events.push(lineOf(event));
          if (event.type.startsWith('became'))
            this.story.push(`${Math.round(this.now)} ${role} ${lineOf(event)}`);
        },
      },
      { ...storySettings, ...this.#settings, role },
      old?.record,
    );
    const record = old?.record;
    this.#servers.set(role, { machine, events, record, birth, isAlive: true });
    machine.handleTimeout(this.#clock(role));
  }

  startWitness(): void {
    const witness: WitnessMachine = new WitnessMachine(
      {
        open: () => {},
        close: () => {},
        send: (_port, to, command) => {
          const role = to.startsWith('primary') ? 'primary' : 'backup';
          this.#post('witness', role, (machine) =>
            machine.handleCommand(this.#clock(role), 'witness', '', command),
          );
          return true;
        },
        store: (token, batch) => {
          const deliver = (): void => {
            if (this.#witness !== witness) return;
            this.#records = (batch as { records: WitnessRecord[] }).records;
            witness.handleStored(this.#clock('witness'), token);
          };
          this.#queue.push({
            at: this.now + this.delay(),
            from: 'witness',
            to: 'witness',
            deliver,
          });
        },
        emit: () => {},
      },
      { pairLimit: 10 },
      this.#records,
    );
    this.#witness = witness;
    witness.handleTimeout(this.#clock('witness'));
  }

  killWitness(): void {
    this.#witness = undefined;
  }

  kill(role: Role): void {
    this.#servers.get(role)!.isAlive = false;
    this.#servers.get(role)!.birth = 0;
  }

  pause(role: Role): void {
    this.#paused.add(role);
  }

  resume(role: Role): void {
    this.#paused.delete(role);
  }

  /** The lines of this one to its voters take nothing more, until there is room again. */
  fill(role: Role): void {
    this.#full.add(role);
  }

  makeRoom(role: Role): void {
    this.#full.delete(role);
    this.machine(role).handleWritable(this.#clock(role));
  }

  cut(from: Place, to: Place): void {
    this.cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.cuts.clear();
  }

  call(role: Role, call: PairCall): void {
    this.machine(role).handleCall(this.#clock(role), call);
  }

  /** Clients come to this server all the time while so much time passes. */
  askFor(role: Role, milliseconds: number): void {
    for (const until = this.now + milliseconds; this.now < until;) {
      if (!this.#paused.has(role)) this.call(role, { type: 'asked' });
      this.run(Math.min(50, until - this.now));
    }
  }

  machine(role: Role): PairMachine {
    return this.#servers.get(role)!.machine;
  }

  /** What was told by `role` since it was last asked. */
  told(role: Role): string[] {
    return this.#servers.get(role)!.events.splice(0);
  }

  /** Who may serve at this instant: `primary 3`. */
  get serving(): string[] {
    return [...this.#servers].flatMap(([role, { machine, isAlive }]) => {
      const epoch = isAlive ? machine.epochAt(this.#clock(role)) : 0;
      return epoch === 0 ? [] : [`${role} ${epoch}`];
    });
  }

  stateOf(role: Role): string {
    return this.machine(role).status(this.#clock(role)).state;
  }

  stepDowns(role: Role): Readonly<Partial<Record<StepDownReason, number>>> {
    return this.machine(role).status(this.#clock(role)).stepDowns;
  }

  /** Time passes; with a witness, never do two serve at once. */
  run(milliseconds: number): void {
    const until = this.now + milliseconds;
    for (;;) {
      const next = this.#nextAt();
      if (next > until) break;
      this.now = Math.max(this.now, next);
      this.#passTime();
      const due = this.#queue.filter(({ at, to }) => at <= this.now && !this.#isPaused(to));
      this.#queue = this.#queue.filter((message) => !due.includes(message));
      for (const { from, to, deliver } of due) {
        if (!this.cuts.has(`${from}>${to}`)) deliver();
      }
      if (this.#settings.witness !== undefined && this.serving.length > 1) {
        throw new Error(`both serve: ${this.serving.join(', ')}`);
      }
    }
    this.now = until;
  }

  #nextAt(): Instant {
    const times = this.#queue.filter(({ to }) => !this.#isPaused(to)).map(({ at }) => at);
    for (const [role, { machine, isAlive }] of this.#servers) {
      if (isAlive && !this.#paused.has(role)) times.push(machine.nextTimeout / this.rates[role]);
    }
    if (this.#witness !== undefined) times.push(this.#witness.nextTimeout / this.rates.witness);
    return Math.min(...times);
  }

  #passTime(): void {
    for (const [role, { machine, isAlive }] of this.#servers) {
      if (isAlive && !this.#paused.has(role)) machine.handleTimeout(this.#clock(role));
    }
    this.#witness?.handleTimeout(this.#clock('witness'));
  }

  /** What its clock shows; a hair more, so that what is due is due in spite of rounding. */
  #clock(place: Place): Instant {
    return this.now * this.rates[place] + 1e-6;
  }

  #isPaused(place: Place): boolean {
    return place !== 'witness' && this.#paused.has(place);
  }

  #send(role: Role, port: PairPort, address: string, to: string, command: PairOutput): boolean {
    if (this.#full.has(role) && port !== 'pair') return false;
    const other = otherRole(role);
    const isStock = command.type === 'stockState';
    if (port === 'peer' || isStock) {
      this.#post(role, other, (machine) =>
        machine.handleCommand(this.#clock(other), isStock ? 'peer' : 'pair', address, command),
      );
    } else if (port === 'pair') {
      const birth = Number(to.split('-')[1]);
      this.#post(role, other, (machine) => {
        if (this.#servers.get(other)!.birth !== birth) return;
        machine.handleCommand(this.#clock(other), 'peer', '', command);
      });
    } else if (command.type === 'claim' || command.type === 'release') {
      const deliver = (): void =>
        this.#witness?.handleCommand(this.#clock('witness'), 'claims', address, command);
      this.#queue.push({ at: this.now + this.delay(), from: role, to: 'witness', deliver });
    }
    return true;
  }

  #post(from: Place, to: Role, deliver: (machine: PairMachine) => void): void {
    this.#queue.push({
      at: this.now + this.delay(),
      from,
      to,
      deliver: () => {
        const server = this.#servers.get(to);
        if (server?.isAlive === true) deliver(server.machine);
      },
    });
  }
}
