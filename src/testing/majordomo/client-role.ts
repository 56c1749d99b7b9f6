/** A client of a simulated run: the real machine, and a caller that keeps account of its calls. */
import { clientCodec } from '../../majordomo/protocol.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
} from '../../majordomo/client-machine.ts';
import type { ClientInput, ClientOutput, Dialect } from '../../majordomo/commands.ts';
import { Driver } from '../../transport/driver.ts';
import type { SimProcess } from '../sim-process.ts';
import { WatchedMachine } from '../watched-machine.ts';
import { BROKER_ENDPOINT } from './broker-role.ts';
import { ClientChecker } from './client-checker.ts';
import { SERVICES, type PlannedOperation } from './plan.ts';
import type { Stage } from './stage.ts';
import { encodeWork } from './work.ts';

type ClientDriver = Driver<ClientPort, ClientInput, ClientOutput, ClientCall, ClientEvent>;

export class ClientRole {
  readonly name: string;
  readonly #stage: Stage;
  readonly #protocol: 'auto' | Dialect;
  #process!: SimProcess;
  #drainingProcess: SimProcess | undefined;
  #driver!: ClientDriver;
  #checker!: ClientChecker;
  #machine!: ClientMachine;
  #incarnation = 0;
  #nextId = 0;

  constructor(stage: Stage, name: string, protocol: 'auto' | Dialect) {
    this.#stage = stage;
    this.name = name;
    this.#protocol = protocol;
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  /** The calls of the present incarnation: those of a crashed one have nobody to answer to. */
  get checker(): ClientChecker {
    return this.#checker;
  }

  get isDraining(): boolean {
    return this.#drainingProcess === this.#process;
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.#machine.waiting > 0
      ? 'queued'
      : this.#machine.outstanding > 0
        ? 'inFlight'
        : 'idle';
  }

  start(): void {
    const { world, plan, network } = this.#stage;
    const { lanes, clientQueueLimit, replyBufferBytes, peerQueueBytes } = plan.settings;
    const settings: ClientSettings = {
      lanes,
      queueLimit: clientQueueLimit,
      queueBytes: 1_000_000,
      replyBufferBytes,
      backoff: 20,
      backoffLimit: 200,
      noticeGrace: 60,
      random: world.random,
    };
    const process = world.start(this.name, this.#stage.processOptions());
    const checker = new ClientChecker(this.#stage.mayMissParts);
    this.#process = process;
    this.#checker = checker;
    this.#incarnation++;
    const driver: ClientDriver = new Driver<
      ClientPort,
      ClientInput,
      ClientOutput,
      ClientCall,
      ClientEvent
    >({
      machine: (outbox) => {
        this.#machine = new ClientMachine(
          {
            ...outbox,
            open: (port, endpoint) => (checker.opened(port), outbox.open(port, endpoint)),
            close: (port, flush) => (checker.closed(port), outbox.close(port, flush)),
            send: (port, to, command) => (
              checker.sent(port, command),
              outbox.send(port, to, command)
            ),
          },
          settings,
        );
        return new WatchedMachine(this.#machine, {});
      },
      codec: clientCodec,
      kindOf: () => 'dealer',
      transport: network.transport(process),
      clock: process,
      peerQueueBytes,
      onEvent: (event) => {
        this.#stage.count(`client.${event.type}`);
        if (event.type === 'failed') this.#stage.count(`client.${event.code}`);
        checker.event(event);
        if (event.type === 'drained') driver.close(() => process.atTurnEnd(() => process.exit()));
      },
    });
    this.#driver = driver;
    process.run(() => driver.call({ type: 'connect', endpoints: [BROKER_ENDPOINT] }));
  }

  /** Makes the planned call, if the process is there. */
  issue(operation: PlannedOperation): void {
    const process = this.#process;
    const driver = this.#driver;
    const checker = this.#checker;
    if (process.isOver) return;
    process.run(() => {
      const id = this.#nextId++;
      const name = `${this.name}.${this.#incarnation}.${id}`;
      const { behaviour, work: duration, size } = operation;
      const work = { id: name, behaviour, duration, size };
      checker.issued(process.now(), id, operation, work);
      const { timeout, retries, streaming } = operation;
      const canStream = streaming && this.#protocol !== 'mdp0.1';
      driver.call({
        type: 'request',
        id,
        service: SERVICES[operation.service]!,
        body: encodeWork(work),
        dialect: this.#protocol === 'auto' ? (canStream ? 'mdp0.2' : 'mdp0.1') : this.#protocol,
        streaming: canStream,
        timeout,
        attemptTimeout: timeout / (retries + 1),
        retries,
      });
      if (operation.cancelAfter === undefined) return;
      const cancelAt = process.now() + operation.cancelAfter;
      process.wakeAt(cancelAt, () => driver.call({ type: 'cancel', id, reason: 'planned' }));
    });
  }

  drain(): void {
    this.#drainingProcess = this.#process;
    this.#process.run(() => this.#driver.call({ type: 'drain' }));
  }

  stop(): void {
    this.#process.run(() => this.#driver.call({ type: 'stop' }));
  }
}
