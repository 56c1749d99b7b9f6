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
import type { Driver } from '../../transport/driver.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { BrokerChecker } from './broker-checker.ts';
import { BROKER_ENDPOINT, sessionsOf } from './plan.ts';
import type { MajordomoStage } from './stage.ts';

export class BrokerRole extends MachineRole {
  readonly #stage: MajordomoStage;
  readonly #settings: BrokerSettings;
  #machine!: BrokerMachine;
  #driver!: Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>;

  constructor(stage: MajordomoStage) {
    super(stage, 'broker');
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

  get machine(): BrokerMachine {
    return this.#machine;
  }

  get state(): string {
    const { queued, inFlight } = this.#machine.requests.state;
    return inFlight > 0 ? 'inFlight' : queued > 0 ? 'queued' : 'idle';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    stage.brokerStarts();
    const driver = drive<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>({
      stage,
      process,
      machine: (outbox) => {
        const send: typeof outbox.send = (port, to, command) => {
          const accepted = outbox.send(port, to, command);
          if (accepted) stage.brokerSent(to, command);
          return accepted;
        };
        return (this.#machine = new BrokerMachine({ ...outbox, send }, this.#settings));
      },
      checker: new BrokerChecker(this.#settings, () => this.#machine),
      codec: brokerCodec,
      kindOf: () => 'router',
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
    });
    this.#driver = driver;
    process.run(() => driver.bind('peers', BROKER_ENDPOINT, () => undefined));
    return (call) => driver.call(call);
  }

  #handleEvent(event: BrokerEvent): void {
    countEvent(this.#stage, event);
    if (event.type === 'drained') exitAfter(this.process, this.#driver);
  }
}

/** Takes down what a broker told. */
export function countEvent(stage: MajordomoStage, event: BrokerEvent): void {
  stage.count(`broker.${event.type}`);
  if ('reason' in event && event.type !== 'malformed') {
    stage.count(`broker.${event.type}.${event.reason}`);
  }
  if (event.type === 'requestExpired') {
    stage.count(`broker.requestExpired.${event.running ? 'running' : 'queued'}`);
  }
  if (event.type === 'requestJoined') {
    stage.count(event.stored ? 'broker.storedReply' : 'broker.joined');
  }
  if (event.type === 'workerReady') stage.count(`broker.workerReady.${event.dialect}`);
}
