/** A client of a simulated run: the real machine, and a caller that keeps account of its calls. */
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientSettings,
} from '../../freelance/client-machine.ts';
import { clientCodec } from '../../freelance/protocol.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { ClientChecker } from './client-checker.ts';
import type { PlannedOperation } from './plan.ts';
import { endpointOf, type FreelanceStage } from './stage.ts';
import { encodeWork, type Work } from '../work.ts';

export class ClientRole extends MachineRole {
  declare protected readonly stage: FreelanceStage;
  /** In the order of its rank for them. */
  readonly #servers: readonly string[];
  #incarnation = 0;
  #machine!: ClientMachine;
  #checker!: ClientChecker;
  #call!: (call: ClientCall) => void;

  /** @param servers names, the best one first */
  constructor(stage: FreelanceStage, name: string, servers: readonly string[]) {
    super(stage, name);
    this.#servers = servers;
    this.start();
  }

  /** The calls of the present incarnation: those of a crashed one have nobody to answer to. */
  get checker(): ClientChecker {
    return this.#checker;
  }

  /** For the fault × state matrix. */
  get state(): string {
    const { inFlight, waiting } = this.#machine;
    return inFlight > 0 ? 'inFlight' : waiting > 0 ? 'queued' : 'idle';
  }

  /** Requests without an outcome, and tries that are taken to be under way. */
  get remembered(): number {
    const { outstanding, waiting, servers } = this.#machine;
    return servers.reduce((sum, { inFlight }) => sum + inFlight, outstanding + waiting);
  }

  /** Makes the planned call, if the process is there. */
  issue(operation: PlannedOperation): void {
    const process = this.process;
    const call = this.#call;
    const checker = this.#checker;
    const incarnation = this.#incarnation;
    process.run(() => {
      const { behaviour, work: duration, size, cancelAfter } = operation;
      const name = `${this.name}.${incarnation}.${checker.calls.length}`;
      const work: Work = { id: name, behaviour, duration, size };
      const id = checker.issued(process.now(), work, operation);
      const { strategy, timeout, attemptTimeout, retries, hedge } = operation;
      const body = encodeWork(work);
      call({ type: 'request', id, body, strategy, timeout, attemptTimeout, retries, hedge });
      if (cancelAfter === undefined) return;
      process.wakeAt(process.now() + cancelAfter, () =>
        call({ type: 'cancel', id, reason: 'planned' }),
      );
    });
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const settings = this.#settings();
    let machine!: ClientMachine;
    const checker = new ClientChecker(this.name, this.stage, settings, () => machine);
    this.#checker = checker;
    this.#incarnation++;
    const driver = drive({
      stage: this.stage,
      process,
      machine: (outbox) => (machine = new ClientMachine(outbox, settings)),
      checker,
      codec: clientCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: this.stage.plan.settings.peerQueueBytes,
      onEvent: (event: ClientEvent) => {
        this.#count(event);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    this.#machine = machine;
    this.#call = (call) => driver.call(call);
    const endpoints = this.#servers.map(endpointOf);
    process.run(() => driver.call({ type: 'connect', endpoints }));
    return this.#call;
  }

  #settings(): ClientSettings {
    const { world, plan } = this.stage;
    const { heartbeatInterval, heartbeatLiveness, retryBudget, retryBurst } = plan.settings;
    const { inFlightLimit, queueLimit, queueBytes } = plan.settings;
    return {
      heartbeatInterval,
      heartbeatLiveness,
      retryBudget,
      retryBurst,
      inFlightLimit,
      queueLimit,
      queueBytes,
      reconnectInterval: 20,
      reconnectLimit: 150,
      random: world.random,
    };
  }

  #count(event: ClientEvent): void {
    this.stage.count(`client.${event.type}`);
    if (event.type === 'failed') this.stage.count(`client.${event.code}`);
    if (event.type === 'retry' || event.type === 'serverLost') {
      this.stage.count(`client.${event.type}.${event.reason}`);
    }
  }
}
