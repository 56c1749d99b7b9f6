/** The broker of a simulated run: the real machine, codec and driver in a process that can die. */
import { brokerCodec } from '../../majordomo/wire/protocol.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
  type BrokerSettings,
} from '../../majordomo/broker/broker-machine.ts';
import type { BrokerInput, BrokerOutput } from '../../majordomo/wire/commands.ts';
import { Driver } from '../../transport/driver.ts';
import type { SimProcess } from '../sim-process.ts';
import { WatchedMachine } from '../watched-machine.ts';
import { BrokerChecker } from './broker-checker.ts';
import { sessionsOf } from './plan.ts';
import type { Stage } from './stage.ts';

export const BROKER_ENDPOINT = 'tcp://broker:5555';

export class BrokerRole {
  readonly name = 'broker';
  readonly #stage: Stage;
  readonly #settings: BrokerSettings;
  #process!: SimProcess;
  #drainingProcess: SimProcess | undefined;
  #machine!: BrokerMachine;
  #driver!: Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>;

  constructor(stage: Stage) {
    this.#stage = stage;
    const { settings, workers } = stage.plan;
    this.#settings = {
      ...settings,
      workerLimit: settings.tightWorkers ? sessionsOf(workers) : 100,
      noticeGrace: 30,
      clientGrace: 60,
      random: stage.world.random,
    };
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  get machine(): BrokerMachine {
    return this.#machine;
  }

  get isDraining(): boolean {
    return this.#drainingProcess === this.#process;
  }

  /** For the fault × state matrix. */
  get state(): string {
    const { queued, inFlight } = this.#machine.requests.state;
    return inFlight > 0 ? 'inFlight' : queued > 0 ? 'queued' : 'idle';
  }

  /** Starts the next incarnation, which remembers nothing. */
  start(): void {
    const { world, plan, network } = this.#stage;
    const process = world.start(this.name, this.#stage.processOptions());
    this.#process = process;
    this.#stage.brokerStarts();
    const checker = new BrokerChecker(this.#settings, () => this.#machine);
    this.#driver = new Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>({
      machine: (outbox) => {
        this.#machine = new BrokerMachine(
          {
            ...outbox,
            send: (port, to, command) => {
              const accepted = outbox.send(port, to, command);
              if (accepted) this.#stage.brokerSent(to, command);
              checker.said(to, command, accepted);
              return accepted;
            },
            emit: (event) => (checker.told(event), outbox.emit(event)),
          },
          this.#settings,
        );
        return new WatchedMachine(this.#machine, checker);
      },
      codec: brokerCodec,
      kindOf: () => 'router',
      transport: network.transport(process),
      clock: process,
      peerQueueBytes: plan.settings.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
    });
    const driver = this.#driver;
    process.run(() => driver.bind('peers', BROKER_ENDPOINT, () => undefined));
  }

  /** A graceful stop; the process ends when the machine has drained. */
  drain(): void {
    this.#drainingProcess = this.#process;
    this.#process.run(() => this.#driver.call({ type: 'drain' }));
  }

  stop(): void {
    this.#drainingProcess = this.#process;
    this.#process.run(() => this.#driver.call({ type: 'stop' }));
  }

  #handleEvent(event: BrokerEvent): void {
    this.#stage.count(`broker.${event.type}`);
    if ('reason' in event && event.type !== 'malformed') {
      this.#stage.count(`broker.${event.type}.${event.reason}`);
    }
    if (event.type === 'requestExpired') {
      this.#stage.count(`broker.requestExpired.${event.running ? 'running' : 'queued'}`);
    }
    if (event.type === 'requestJoined') {
      this.#stage.count(event.stored ? 'broker.storedReply' : 'broker.joined');
    }
    if (event.type === 'workerReady') this.#stage.count(`broker.workerReady.${event.dialect}`);
    if (event.type !== 'drained') return;
    const process = this.#process;
    // As a real process: its sockets linger for the farewells, then it is gone.
    this.#driver.close(() => process.atTurnEnd(() => process.exit()));
  }
}
