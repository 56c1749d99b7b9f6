/**
 * The machines of the exhaustive search as numbers: each state of a machine, each message and each record
 * has one, and what a step gives is worked out once for each (state, instant, input).
 */
import type { Epoch } from '../../core/election.ts';
import type { Outbox } from '../../core/machine.ts';
import type { PairInput, PairOutput, VoterInput, VoterOutput } from '../../failover/commands.ts';
import type {
  PairCall,
  PairEvent,
  PairPort,
  PairRecord,
  WitnessEvent,
  WitnessPort,
  WitnessRecord,
} from '../../failover/failover-events.ts';
import { PairMachine } from '../../failover/pair-machine.ts';
import { WitnessMachine } from '../../failover/witness-machine.ts';

/** Primary, backup, witness. */
export type Actor = 0 | 1 | 2;

/** Milliseconds of a tick. */
const TICK = 10;

const HEARTBEAT = 2 * TICK;
const LEASE = 8 * TICK;

/** What a step is called that is time alone. */
const EXPIRE = 'expire';

export type PairSettings = ConstructorParameters<typeof PairMachine>[1];
export type PairState = PairMachine['state'];
export type WitnessState = WitnessMachine['state'];
type PairOutbox = Outbox<PairPort, PairOutput, PairEvent>;
type WitnessOutbox = Outbox<WitnessPort, VoterOutput, WitnessEvent>;

/** What makes the machines that are searched. */
export interface Machines {
  pair(
    outbox: PairOutbox,
    settings: PairSettings,
    record: PairRecord | undefined,
    state?: PairState,
  ): PairMachine;
  witness(
    outbox: WitnessOutbox,
    records: readonly WitnessRecord[],
    state?: WitnessState,
  ): WitnessMachine;
}

const REAL: Machines = {
  pair: (outbox, settings, record, state) => new PairMachine(outbox, settings, record, state),
  witness: (outbox, records, state) => new WitnessMachine(outbox, { pairLimit: 1 }, records, state),
};

/** What a step gives. */
export interface Step {
  /** The state after it. */
  readonly state: number;
  readonly said: readonly {
    readonly to: Actor;
    readonly asks: boolean;
    readonly message: number;
  }[];
  readonly stores: readonly (readonly [token: number, record: number])[];
  /** The epoch that it began to serve under; 0: it did not. */
  readonly began: Epoch;
  /** The highest epoch that it claimed, granted or began to serve under. */
  readonly used: Epoch;
}

/** One state of one machine. */
interface Known {
  readonly actor: Actor;
  readonly data: PairState | WitnessState;
  readonly nextTick: number;
  readonly machine: PairMachine | WitnessMachine;
}

type Message = PairInput | VoterInput;

export class Actors {
  readonly #settings: readonly PairSettings[];
  readonly #machines: Machines;
  readonly #known: Known[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #steps = new Map<string, Step>();
  /** Numbers begin with 1: their sign has a meaning. */
  readonly #messages: Message[] = [];
  readonly #messageNumbers = new Map<string, number>();
  readonly #records: unknown[] = [];
  readonly #recordNumbers = new Map<string, number>();

  constructor(hasWitness: boolean, machines: Partial<Machines>) {
    this.#machines = { ...REAL, ...machines };
    this.#settings = (['primary', 'backup'] as const).map((role) => ({
      pair: 'pair',
      role,
      peer: 'peer',
      witness: hasWitness ? 'witness' : undefined,
      protocol: 'own' as const,
      heartbeatInterval: HEARTBEAT,
      heartbeatLiveness: 2,
      noticeGrace: TICK,
      lease: LEASE,
      clockDrift: 0,
    }));
  }

  /** How many states of one machine are known. */
  get states(): number {
    return this.#known.length;
  }

  messageOf(number: number): string {
    const message = this.#messages[number - 1]!;
    return `hears ${JSON.stringify(message)}`;
  }

  epochOfRecord(record: number): Epoch {
    const kept = this.#records[record] as PairRecord | { records: WitnessRecord[] } | undefined;
    if (kept === undefined) return 0;
    return 'records' in kept ? (kept.records[0]?.epoch ?? 0) : kept.epoch;
  }

  isDue(state: number, tick: number): boolean {
    return this.#known[state]!.nextTick <= tick;
  }

  epochAt(state: number, tick: number): Epoch {
    const { machine } = this.#known[state]!;
    return machine instanceof PairMachine ? machine.epochAt(tick * TICK) : 0;
  }

  highest(state: number): Epoch {
    const { machine } = this.#known[state]!;
    return machine instanceof PairMachine ? machine.highestEpoch : 0;
  }

  // Steps

  /** @param record what it reads; -1: nothing was ever stored */
  start(actor: Actor, tick: number, record: number): Step {
    const kept = this.#records[record];
    const now = tick * TICK;
    const made = new Turn(actor);
    if (actor === 2) {
      const records = (kept as { records: WitnessRecord[] } | undefined)?.records ?? [];
      const machine = this.#machines.witness(made, records);
      machine.handleTimeout(now);
      return this.#finish(made, machine.state);
    }
    const machine = this.#machines.pair(
      made,
      this.#settings[actor]!,
      kept as PairRecord | undefined,
    );
    machine.handleCall(now, { type: 'stand', standing: { endpoint: `tcp://${actor}` } });
    if (machine.nextTimeout <= now) machine.handleTimeout(now);
    return this.#finish(made, machine.state);
  }

  hear(state: number, tick: number, from: Actor, asks: boolean, message: number): Step {
    return this.#step(state, tick, `hear ${from} ${asks} ${message}`, (machine, now) => {
      const command = structuredClone(this.#messages[message - 1]!);
      const address = asks ? String(from) : '';
      if (machine instanceof WitnessMachine) {
        machine.handleCommand(now, 'claims', address, command as VoterInput);
      } else {
        const port = asks ? 'pair' : from === 2 ? 'witness' : 'peer';
        machine.handleCommand(now, port, address, command);
      }
    });
  }

  expire(state: number, tick: number): Step {
    return this.#step(state, tick, EXPIRE, () => undefined);
  }

  stored(state: number, tick: number, token: number): Step {
    return this.#step(state, tick, `stored ${token}`, (machine, now) =>
      machine.handleStored(now, token),
    );
  }

  ask(state: number, tick: number, shown: Epoch): Step {
    return this.#step(state, tick, `ask ${shown}`, (machine, now) => {
      if (!(machine instanceof PairMachine)) return;
      const calls: PairCall[] = [{ type: 'seen', epoch: shown }, { type: 'asked' }];
      for (const call of calls) machine.handleCall(now, call);
    });
  }

  /** As the driver does it: time comes first. */
  #step(
    state: number,
    tick: number,
    input: string,
    take: (machine: PairMachine | WitnessMachine, now: number) => void,
  ): Step {
    const key = `${state} ${tick} ${input}`;
    const former = this.#steps.get(key);
    if (former !== undefined) return former;
    const { actor, data } = this.#known[state]!;
    const turn = new Turn(actor);
    const machine = this.#revive(actor, turn, data);
    const now = tick * TICK;
    if (machine.nextTimeout <= now) machine.handleTimeout(now);
    take(machine, now);
    const step = this.#finish(turn, machine.state);
    this.#steps.set(key, step);
    return step;
  }

  #revive(actor: Actor, turn: Turn, data: PairState | WitnessState) {
    const copy = structuredClone(data);
    if (actor === 2) return this.#machines.witness(turn, [], copy as WitnessState);
    return this.#machines.pair(turn, this.#settings[actor]!, undefined, copy as PairState);
  }

  #finish(turn: Turn, data: PairState | WitnessState): Step {
    return {
      state: this.#numberOf(turn.actor, data),
      said: turn.said.map(({ to, asks, command }) => ({
        to,
        asks,
        message: numbered(this.#messageNumbers, this.#messages, command) + 1,
      })),
      stores: turn.stores.map(
        ([token, batch]) => [token, numbered(this.#recordNumbers, this.#records, batch)] as const,
      ),
      began: turn.began,
      used: turn.used,
    };
  }

  #numberOf(actor: Actor, data: PairState | WitnessState): number {
    const machine = this.#revive(actor, new Turn(actor), data);
    // Instants as they are: the search compares worlds of one tick only.
    const key = `${actor} ${machine.fingerprint(0)}`;
    const former = this.#numbers.get(key);
    if (former !== undefined) return former;
    const nextTick = Math.ceil(machine.nextTimeout / TICK);
    const number = this.#known.push({ actor, data: machine.state, nextTick, machine }) - 1;
    this.#numbers.set(key, number);
    return number;
  }
}

function numbered<Thing>(numbers: Map<string, number>, things: Thing[], thing: Thing): number {
  const key = JSON.stringify(thing);
  const former = numbers.get(key);
  if (former !== undefined) return former;
  const number = things.push(structuredClone(thing)) - 1;
  numbers.set(key, number);
  return number;
}

/** What one machine does in one step. */
class Turn implements PairOutbox, WitnessOutbox {
  readonly actor: Actor;
  readonly said: { to: Actor; asks: boolean; command: Message }[] = [];
  readonly stores: (readonly [token: number, batch: unknown])[] = [];
  began: Epoch = 0;
  used: Epoch = 0;

  constructor(actor: Actor) {
    this.actor = actor;
  }

  readonly open = (): void => undefined;
  readonly close = (): void => undefined;

  readonly send = (
    port: PairPort | WitnessPort,
    address: string,
    command: PairOutput | VoterOutput,
  ): boolean => {
    const asks = port === 'peer' || port === 'witness';
    const peer = this.actor === 0 ? 1 : 0;
    const to = port === 'witness' ? 2 : port === 'peer' ? peer : (Number(address) as Actor);
    this.said.push({ to, asks, command: { ...command } });
    if (command.type === 'claim' || command.type === 'grant') this.#uses(command.epoch);
    return true;
  };

  readonly store = (token: number, batch: unknown): void => {
    this.stores.push([token, structuredClone(batch)]);
  };

  readonly emit = (event: PairEvent | WitnessEvent): void => {
    if (event.type !== 'becameActive') return;
    this.began = event.epoch;
    this.#uses(event.epoch);
  };

  #uses(epoch: Epoch): void {
    this.used = Math.max(this.used, epoch);
  }
}
