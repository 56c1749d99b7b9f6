/** A client of a simulated run: the real machine, and a caller that keeps account of its calls. */
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
} from '../../pirate/client-machine.ts';
import type { ClientInput, ClientOutput } from '../../pirate/commands.ts';
import { clientCodec } from '../../pirate/protocol.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { encodeWork } from '../work.ts';
import { BACKOFF, BACKOFF_LIMIT, ClientChecker } from './client-checker.ts';
import type { PlannedOperation } from './plan.ts';
import { frontendOf, type PirateStage } from './stage.ts';

export class ClientRole extends MachineRole {
  readonly #stage: PirateStage;
  readonly #queues: readonly string[];
  #checker!: ClientChecker;
  #machine!: ClientMachine;
  #call: (call: ClientCall) => void = () => undefined;
  #incarnation = 0;
  #nextId = 0;

  /** @param queues in the order in which it tries them */
  constructor(stage: PirateStage, name: string, queues: readonly string[]) {
    super(stage, name);
    this.#stage = stage;
    this.#queues = queues;
    this.start();
  }

  /** The calls of the present incarnation: those of a crashed one have nobody to answer to. */
  get checker(): ClientChecker {
    return this.#checker;
  }

  /** Requests that its machine remembers. */
  get remembered(): number {
    return this.#machine.outstanding;
  }

  get state(): string {
    const { waiting, outstanding } = this.#machine;
    return waiting > 0 ? 'queued' : outstanding > 0 ? 'inFlight' : 'idle';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    const checker = new ClientChecker(stage, this.name);
    this.#checker = checker;
    this.#incarnation++;
    const driver = drive<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>({
      stage,
      process,
      machine: (outbox) => (this.#machine = new ClientMachine(outbox, this.#settings())),
      checker,
      codec: clientCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event) => {
        stage.count(`client.${event.type}`);
        if (event.type === 'failed') stage.count(`client.${event.code}`);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    this.#call = (call) => driver.call(call);
    const endpoints = this.#queues.map(frontendOf);
    process.run(() => driver.call({ type: 'connect', endpoints }));
    return (call) => driver.call(call);
  }

  /** Makes the planned call, if the process is there. */
  issue(operation: PlannedOperation): void {
    const { process } = this;
    if (process.isOver) return;
    const [call, checker, incarnation] = [this.#call, this.#checker, this.#incarnation];
    process.run(() => {
      const id = this.#nextId++;
      const { behaviour, work: duration, size, cancelAfter } = operation;
      const work = { id: `${this.name}.${incarnation}.${id}`, behaviour, duration, size };
      const { timeout, attemptTimeout, retries } = operation;
      checker.issued(process.now(), id, operation, work);
      const body = encodeWork(work);
      call({ type: 'request', id, body, timeout, attemptTimeout, retries });
      if (cancelAfter === undefined) return;
      process.wakeAt(process.now() + cancelAfter, () => {
        call({ type: 'cancel', id, reason: 'planned' });
      });
    });
  }

  #settings(): ClientSettings {
    const { lanes, clientQueueLimit } = this.#stage.plan.settings;
    return {
      lanes,
      queueLimit: clientQueueLimit,
      queueBytes: 10_000_000,
      backoff: BACKOFF,
      backoffLimit: BACKOFF_LIMIT,
      noticeGrace: 60,
      random: this.#stage.world.random,
    };
  }
}
