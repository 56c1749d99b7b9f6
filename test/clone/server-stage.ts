/**
 * A Clone server's machine on a recording outbox: readers follow it as in `feed-world.ts`, and what it
 * stores is taken when a story says so.
 */
import { encodeText } from '../../src/core/frames.ts';
import type { Epoch, Guard } from '../../src/core/election.ts';
import type { Address, Instant } from '../../src/core/machine.ts';
import type {
  FollowCommand,
  FollowerInput,
  FollowerOutput,
  ServerInput,
  ServerOutput,
  WriteCommand,
} from '../../src/clone/commands.ts';
import type {
  CloneServerEvent,
  CloneServerStatus,
  FollowerStatus,
  ServerCall,
  ServerPort,
} from '../../src/clone/server-events.ts';
import { ServerMachine, type ServerSettings } from '../../src/clone/server/server-machine.ts';
import { FOLLOW, Reader } from './feed-world.ts';

/** A guard that a story plays. */
export class PlayedGuard implements Guard {
  epoch: Epoch = 0;
  highestEpoch: Epoch = 0;
  activeEndpoint = '';
  votes = 0;

  epochAt(): Epoch {
    return this.epoch;
  }

  seen(_now: Instant, epoch: Epoch): void {
    if (epoch > this.epoch) this.epoch = 0;
    this.highestEpoch = Math.max(this.highestEpoch, epoch);
  }

  asked(): void {
    this.votes++;
  }
}

export const serverSettings: ServerSettings = {
  epoch: 7,
  isDurable: false,
  wallClock: 1_000_000,
  noticeGrace: 20,
  backupWindow: 1_000_000,
  random: () => 0.5,
  replication: 'sync',
  heartbeatInterval: 100,
  heartbeatLiveness: 3,
  historyLimit: 100,
  historyBytes: 1_000_000,
  keyLimit: 1000,
  stateBytes: 1_000_000,
  valueBytes: 10_000,
  followerLimit: 100,
  writerLimit: 100,
  writerTtl: 600_000,
  pendingLimit: 100,
  pendingBytes: 1_000_000,
};

type Result = Extract<ServerOutput, { type: 'result' }>;

export class ServerStage {
  readonly machine: ServerMachine;
  readonly events: CloneServerEvent[] = [];
  readonly readers = new Map<Address, Reader>();
  /** What was said outside of streams, to everybody. */
  readonly said: { readonly to: Address; readonly command: ServerOutput }[] = [];
  /** What was said to the active server, and to all stock clients. */
  readonly toActive: FollowerOutput[] = [];
  readonly published: ServerOutput[] = [];
  readonly stores: { readonly token: number; readonly batch: unknown }[] = [];
  readonly full = new Set<Address>();
  /** Where it follows; '' nowhere. */
  active = '';
  now = 1000;
  #number = 0;

  constructor(settings: Partial<ServerSettings> = {}) {
    this.machine = new ServerMachine(
      {
        open: (_port, endpoint) => {
          this.active = endpoint;
        },
        close: () => {
          this.active = '';
        },
        store: (token, batch) => this.stores.push({ token, batch }),
        send: (port, to, command) => this.#send(port, to, { ...command }),
        emit: (event) => this.events.push(event),
      },
      { ...serverSettings, ...settings },
    );
    this.pass(0);
  }

  get status(): CloneServerStatus {
    return this.machine.status();
  }

  /** The types of all events, with their reasons. */
  get told(): string[] {
    return this.events.map((event) =>
      'reason' in event ? `${event.type} ${event.reason}` : event.type,
    );
  }

  follower(address: Address): FollowerStatus | undefined {
    return this.status.followers.find((follower) => follower.address === address);
  }

  call(call: ServerCall): void {
    this.#due();
    this.machine.handleCall(this.now, call);
  }

  say(from: Address, command: ServerInput | FollowerInput, port: ServerPort = 'peers'): void {
    this.#due();
    this.machine.handleCommand(this.now, port, from, command);
  }

  follow(address: Address, changes: Partial<FollowCommand> = {}): Reader {
    const command = { ...FOLLOW, writer: address.padEnd(8, '.'), ...changes };
    const reader = this.readers.get(address) ?? new Reader(command);
    this.readers.set(address, reader);
    reader.begins(command);
    this.say(address, command);
    return reader;
  }

  progress(address: Address): void {
    const { stream, received, last } = this.readers.get(address)!;
    this.say(address, { type: 'progress', stream, received, sequence: last, epoch: 0 });
  }

  /** A write of this follower; of its numbers the next. */
  write(from: Address, changes: Partial<WriteCommand> & { readonly text?: string }): void {
    const { text, ...rest } = changes;
    const kind = changes.kind ?? 'set';
    this.say(from, {
      type: 'write',
      number: changes.number ?? ++this.#number,
      floor: 1,
      kind,
      key: '/key',
      value: kind === 'set' ? [encodeText(text ?? 'value')] : [],
      ...rest,
    });
  }

  set(from: Address, key: string, changes: Partial<WriteCommand> = {}): void {
    this.write(from, { key, ...changes });
  }

  /** The results that this follower got, as revision or refusal. */
  results(of: Address): (number | string)[] {
    return this.said
      .filter(({ to, command }) => to === of && command.type === 'result')
      .map(({ command }) => (command as Result).refusal ?? (command as Result).revision);
  }

  result(of: Address): Result | undefined {
    return this.said.findLast(({ to, command }) => to === of && command.type === 'result')
      ?.command as Result | undefined;
  }

  /** The batches that wait are durable, or not. */
  stored(error?: Error): void {
    for (const { token } of this.stores.splice(0)) {
      this.#due();
      this.machine.handleStored(this.now, token, error);
    }
  }

  /** What was full has room again. */
  makeRoom(to: Address): void {
    this.full.delete(to);
    this.#due();
    this.machine.handleWritable(this.now, 'peers', to);
  }

  gone(from: Address, port: ServerPort = 'peers'): void {
    this.#due();
    this.machine.handlePeerGone(this.now, port, from);
  }

  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    while (this.machine.nextTimeout <= end) {
      this.now = Math.max(this.now, this.machine.nextTimeout);
      this.machine.handleTimeout(this.now);
      if (this.machine.nextTimeout <= this.now) throw new Error('a timeout is due at once');
    }
    this.now = end;
  }

  #due(): void {
    if (this.machine.nextTimeout <= this.now) this.machine.handleTimeout(this.now);
  }

  #send(port: ServerPort, to: Address, command: ServerOutput | FollowerOutput): boolean {
    if (port === 'active') {
      this.toActive.push(command as FollowerOutput);
      return true;
    }
    if (this.full.has(to)) return false;
    const said = command as ServerOutput;
    if (port === 'publisher') this.published.push(said);
    else if ('stream' in said) this.readers.get(to)?.take(said);
    else this.said.push({ to, command: said });
    return true;
  }
}

/** Two servers of which the second follows the first, as far as a story lets them hear each other. */
export class PairStage {
  readonly guards = [new PlayedGuard(), new PlayedGuard()] as const;
  readonly one: ServerStage;
  readonly other: ServerStage;
  #isLinked = false;

  constructor(settings: Partial<ServerSettings> = {}) {
    const [one, other] = this.guards;
    this.one = new PairMember({ ...settings, guard: one }, (command) => this.#toOther(command));
    this.other = new ServerStage({ ...settings, guard: other });
  }

  /** `one` serves under this epoch. */
  elect(epoch: Epoch): void {
    const [one, other] = this.guards;
    one.epoch = epoch;
    one.highestEpoch = epoch;
    other.epoch = 0;
    other.highestEpoch = epoch;
    other.activeEndpoint = 'tcp://one';
    this.one.call({ type: 'activate', epoch });
    this.other.call({ type: 'follow', epoch, endpoint: 'tcp://one' });
  }

  /** They hear each other from now on. */
  link(): void {
    this.#isLinked = true;
    this.settle();
  }

  /** Nothing gets through; what was under way is lost. */
  cut(): void {
    this.#isLinked = false;
    this.other.toActive.length = 0;
  }

  /** What is under way arrives, until nothing is. */
  settle(): void {
    while (this.#isLinked) {
      const command = this.other.toActive.shift();
      if (command === undefined) return;
      this.one.say('backup', command);
    }
  }

  pass(milliseconds: number): void {
    for (let passed = 0; passed < milliseconds; passed++) {
      this.one.pass(1);
      this.other.pass(1);
      this.settle();
    }
  }

  #toOther(command: ServerOutput): void {
    if (this.#isLinked) this.other.say('', command as FollowerInput, 'active');
  }
}

/** The one whose words to `backup` the other hears. */
class PairMember extends ServerStage {
  constructor(settings: Partial<ServerSettings>, hear: (command: ServerOutput) => void) {
    super(settings);
    this.readers.set('backup', new Listener(hear));
  }
}

class Listener extends Reader {
  readonly #hear: (command: ServerOutput) => void;

  constructor(hear: (command: ServerOutput) => void) {
    super(FOLLOW);
    this.#hear = hear;
  }

  override take(command: Parameters<Reader['take']>[0]): void {
    this.#hear(command);
  }
}
