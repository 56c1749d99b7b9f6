/** A worker of a simulated run: the real machine, and a handler that does what the work says. */
import { decodeText } from '../../core/frames.ts';
import type { WorkerInput, WorkerOutput } from '../../pirate/commands.ts';
import { workerCodec } from '../../pirate/protocol.ts';
import {
  WorkerMachine,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
  type WorkerSettings,
} from '../../pirate/worker-machine.ts';
import type { Driver } from '../../transport/driver.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { decodeWork, replyTo } from '../work.ts';
import { backendOf, type PirateStage } from './stage.ts';
import { WorkerChecker } from './worker-checker.ts';

type WorkerDriver = Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>;
type RequestEvent = Extract<WorkerEvent, { type: 'request' }>;

/** How often a handler stops when it is told that nobody waits. */
const GIVES_UP = 0.6;

/** Milliseconds of the first back-off, and of the longest. */
export const RECONNECT_INTERVAL = 20;
export const RECONNECT_LIMIT = 200;

/** One life of the process: its handlers that have not returned, and whether each of them will. */
interface Life {
  readonly process: SimProcess;
  readonly driver: WorkerDriver;
  readonly handlers: Map<number, boolean>;
}

export class WorkerRole extends MachineRole {
  /** The queues that it knows, in the order in which it tries them. */
  readonly queues: readonly string[];
  readonly #stage: PirateStage;
  readonly #settings: WorkerSettings;
  #life!: Life;
  #machine!: WorkerMachine;

  constructor(stage: PirateStage, name: string, queues: readonly string[]) {
    super(stage, name);
    this.#stage = stage;
    this.queues = queues;
    const { settings, protocol } = stage.plan;
    const isParanoid = protocol === 'paranoid';
    this.#settings = {
      protocol,
      heartbeatInterval: isParanoid ? settings.heartbeatInterval : Infinity,
      heartbeatLiveness: settings.heartbeatLiveness,
      reconnectInterval: RECONNECT_INTERVAL,
      reconnectLimit: RECONNECT_LIMIT,
      random: stage.world.random,
    };
    this.start();
  }

  /** A handler hangs for ever: only a restart helps. */
  get isStuck(): boolean {
    return [...this.#life.handlers.values()].includes(false);
  }

  get state(): string {
    return this.#life.handlers.size > 0 ? 'busy' : 'idle';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { settings, protocol } = this.#stage.plan;
    const handlers = new Map<number, boolean>();
    const machine = (): WorkerMachine => this.#machine;
    const checker = new WorkerChecker(this.name, this.#settings, () => ({
      running: handlers.size,
      held: machine().running,
      nextTimeout: machine().nextTimeout,
    }));
    const driver: WorkerDriver = drive<
      WorkerPort,
      WorkerInput,
      WorkerOutput,
      WorkerCall,
      WorkerEvent
    >({
      stage: this.#stage,
      process,
      machine: (outbox) => {
        const send: typeof outbox.send = (port, to, command) => {
          const accepted = outbox.send(port, to, command);
          if (command.type === 'result' && !accepted) this.stage.count('worker.replyDelayed');
          return accepted;
        };
        return (this.#machine = new WorkerMachine({ ...outbox, send }, this.#settings));
      },
      checker,
      codec: workerCodec(protocol),
      kindOf: () => 'dealer',
      peerQueueBytes: settings.workerQueueBytes,
      ...(settings.automaticIds ? { sockets: { identities: 'automatic' } } : {}),
      onEvent: (event) => this.#handleEvent(life, event),
    });
    const life: Life = { process, driver, handlers };
    this.#life = life;
    const endpoints = this.queues.map(backendOf);
    process.run(() => driver.call({ type: 'connect', endpoints }));
    return (call) => driver.call(call);
  }

  #handleEvent(life: Life, event: WorkerEvent): void {
    this.stage.count(`worker.${event.type}`);
    switch (event.type) {
      case 'queueLost':
        return this.stage.count(`worker.queueLost.${event.reason}`);
      case 'request':
        return this.#handle(life, event);
      case 'requestLost':
        if (this.stage.world.random() < GIVES_UP) this.#giveUp(life, event.token);
        return;
      case 'drained':
        return exitAfter(life.process, life.driver);
      default:
    }
  }

  // Handlers

  #handle({ process, driver, handlers }: Life, { token, body }: RequestEvent): void {
    const work = decodeWork(body);
    requireThat(work !== undefined, 'requests arrive intact', () => {
      return `${this.name} got ${body.map(decodeText).join('|').slice(0, 80)}`;
    });
    requireThat(handlers.size === 0, 'credit', () => {
      return `${this.name} is given ${work.id} while a handler runs`;
    });
    const hangs = work.behaviour === 'never' && !this.stage.isHealed;
    handlers.set(token, !hangs);
    const execution = this.#stage.execute(this.name, work.id);
    if (hangs) return;
    process.wakeAt(process.now() + work.duration, () => {
      if (!handlers.delete(token)) return;
      const failure = { code: 'ERR_HANDLER_FAILED', message: work.id } as const;
      if (work.behaviour === 'fail') driver.call({ type: 'fail', token, failure });
      else driver.call({ type: 'reply', token, body: replyTo(work, this.name, execution) });
    });
  }

  #giveUp({ process, driver, handlers }: Life, token: number): void {
    if (!handlers.has(token)) return;
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'it was told to stop' } as const;
    process.wakeAt(process.now(), () => {
      if (handlers.delete(token)) driver.call({ type: 'fail', token, failure });
    });
  }
}
