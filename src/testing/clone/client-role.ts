/** A replica of a simulated run, which writes too: the real machine, and a caller that keeps account of its writes. */
import { ClientMachine, type ClientSettings } from '../../clone/client/client-machine.ts';
import type { CloneClientEvent, ClientCall } from '../../clone/client-events.ts';
import { clientCodec } from '../../clone/wire/protocol.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { ClientChecker } from './client-checker.ts';
import { KEYS, SUBTREES, type Demand, type PlannedClient, type PlannedWrite } from './plan.ts';
import type { CloneStage } from './stage.ts';
import { valueOf } from './writes.ts';

export class ClientRole extends MachineRole {
  declare protected readonly stage: CloneStage;
  readonly subtree: string;
  readonly #endpoints: readonly string[];
  readonly #window: number;
  #lives = 0;
  #tokens = 0;
  #machine!: ClientMachine;
  #checker!: ClientChecker;
  #call!: (call: ClientCall) => void;

  constructor(
    stage: CloneStage,
    name: string,
    { subtree, window }: PlannedClient,
    endpoints: readonly string[],
  ) {
    super(stage, name);
    this.subtree = SUBTREES[subtree]!;
    this.#window = window;
    this.#endpoints = endpoints;
    this.start();
  }

  get machine(): ClientMachine {
    return this.#machine;
  }

  /** Of the present incarnation. */
  get checker(): ClientChecker {
    return this.#checker;
  }

  /** For the fault × state matrix. */
  get state(): string {
    const { state } = this.#machine.status();
    return state === 'connecting' ? 'disconnected' : state;
  }

  /** Makes the planned writes, if the process is there. */
  issue(planned: PlannedWrite): void {
    for (let count = 0; count < planned.burst; count++) {
      this.#write({ ...planned, key: planned.key + count });
    }
  }

  #write({ kind, key: number, size, ttl, demand, timeout, abandonAfter }: PlannedWrite): void {
    const { process } = this;
    const call = this.#call;
    const checker = this.#checker;
    process.run(() => {
      const names: readonly string[] = kind === 'clear' ? SUBTREES : KEYS;
      const key = names[number % names.length]!;
      const token = ++this.#tokens;
      const ifMatch = kind === 'clear' ? undefined : this.#demanded(key, demand);
      const writer = `${this.name}.${this.#lives}`;
      const write = this.stage.writes.asked({ writer, kind, key, ifMatch });
      checker.writes.set(token, write);
      const value = kind === 'set' ? valueOf(write, size) : undefined;
      const ttlIfSet = kind === 'set' ? ttl : undefined;
      call({ type: 'write', token, kind, key, ttl: ttlIfSet, ifMatch, value, timeout });
      if (abandonAfter === undefined) return;
      process.wakeAt(process.now() + abandonAfter, () => call({ type: 'abandon', token }));
    });
  }

  #demanded(key: string, demand: Demand): number | undefined {
    const seen = this.#machine.replica.get(key)?.revision ?? 0;
    switch (demand) {
      case 'none':
        return undefined;
      case 'seen':
        return seen;
      case 'stale':
        return Math.max(0, seen - 1);
      case 'absent':
        return 0;
    }
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { stage } = this;
    let machine!: ClientMachine;
    const checker = new ClientChecker(stage, this.name, this.subtree, () => machine);
    this.#checker = checker;
    this.#lives++;
    const settings = this.#settings();
    const driver = drive({
      stage,
      process,
      machine: (outbox) => (machine = new ClientMachine(outbox, settings)),
      checker,
      codec: clientCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event: CloneClientEvent) => {
        this.#count(event);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    this.#machine = machine;
    this.#call = (call) => driver.call(call);
    process.run(() => {
      driver.call({ type: 'watch', isWatched: true });
      driver.call({ type: 'connect', endpoints: this.#endpoints });
    });
    return this.#call;
  }

  #settings(): ClientSettings {
    const { world, plan } = this.stage;
    const { heartbeatInterval, heartbeatLiveness, inFlightLimit, queueLimit } = plan.settings;
    return {
      subtree: this.subtree,
      heartbeatInterval,
      heartbeatLiveness,
      window: this.#window,
      inFlightLimit,
      queueLimit,
      queueBytes: 20_000,
      keyLimit: 1000,
      stateBytes: 1_000_000,
      reconnectInterval: 20,
      reconnectLimit: 150,
      random: world.random,
      writer: this.stage.newWriter(),
    };
  }

  #count(event: CloneClientEvent): void {
    const name = `client.${event.type}`;
    this.stage.count(name);
    if ('reason' in event) this.stage.count(`${name}.${event.reason}`);
    if (event.type === 'written') this.stage.count(`client.${event.outcome}`);
    if (event.type === 'gapRepaired') this.stage.count(`${name}.${event.by}`);
    if (event.type === 'failedOver' && event.isContinued) this.stage.count(`${name}.continued`);
  }
}
