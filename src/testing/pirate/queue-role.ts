/** A queue of a simulated run: the real machine, codec and driver in a process that can die. */
import type { QueueInput, QueueOutput, QueuePort } from '../../pirate/commands.ts';
import type { QueueEvent } from '../../pirate/queue-events.ts';
import { QueueMachine, type QueueCall, type QueueSettings } from '../../pirate/queue-machine.ts';
import { queueCodec } from '../../pirate/protocol.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import { isUp } from '../roles.ts';
import type { SimProcess } from '../sim-process.ts';
import { QueueChecker } from './queue-checker.ts';
import { ROGUE } from './rogue-role.ts';
import { backendOf, frontendOf, type PirateStage } from './stage.ts';

/** Registered workers where a plan does not keep them few. */
const MANY = 100;

export class QueueRole extends MachineRole {
  readonly #stage: PirateStage;
  readonly #settings: QueueSettings;
  #machine!: QueueMachine;
  #isBuried = false;

  constructor(stage: PirateStage, name: string) {
    super(stage, name);
    this.#stage = stage;
    const { settings, protocol, workers } = stage.plan;
    const isParanoid = protocol === 'paranoid';
    this.#settings = {
      ...settings,
      protocol,
      heartbeatInterval: isParanoid ? settings.heartbeatInterval : Infinity,
      workerLimit: settings.tightWorkers && isParanoid ? workers.length : MANY,
      noticeGrace: 30,
      random: stage.world.random,
    };
    this.start();
  }

  get machine(): QueueMachine {
    return this.#machine;
  }

  get state(): string {
    const { queued, inFlight } = this.#machine.requests.state;
    return inFlight > 0 ? 'inFlight' : queued > 0 ? 'queued' : 'idle';
  }

  /** It dies, and is never started again. */
  bury(): void {
    this.#isBuried = true;
    if (isUp(this)) this.process.crash();
  }

  override start(): void {
    if (!this.#isBuried) super.start();
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    const { protocol, settings } = stage.plan;
    const driver = drive<QueuePort, QueueInput, QueueOutput, QueueCall, QueueEvent>({
      stage,
      process,
      machine: (outbox) => {
        const send: typeof outbox.send = (port, to, command) => {
          const accepted = outbox.send(port, to, command);
          if (command.type !== 'dispatch') return accepted;
          if (!accepted) stage.count('queue.dispatchRefused');
          else if (stage.nameOf(to) !== ROGUE) stage.overheard(command.stack ?? []);
          return accepted;
        };
        return (this.#machine = new QueueMachine({ ...outbox, send }, this.#settings));
      },
      checker: new QueueChecker(this.#settings, () => this.#machine),
      codec: queueCodec(protocol),
      kindOf: () => 'router',
      peerQueueBytes: settings.peerQueueBytes,
      onEvent: (event) => {
        this.#count(event);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    process.run(() => {
      driver.bind('frontend', frontendOf(this.name), () => undefined);
      driver.bind('backend', backendOf(this.name), () => undefined);
    });
    return (call) => driver.call(call);
  }

  #count(event: QueueEvent): void {
    this.stage.count(`queue.${event.type}`);
    if (event.type === 'malformed') this.stage.count(`queue.malformed.${event.port}`);
    else if ('reason' in event) this.stage.count(`queue.${event.type}.${event.reason}`);
    if (event.type === 'requestExpired') {
      this.stage.count(`queue.requestExpired.${event.running ? 'running' : 'queued'}`);
    }
  }
}
