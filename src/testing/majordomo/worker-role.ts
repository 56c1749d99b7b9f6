/** A worker of a simulated run: the real machine, and a handler that does what the work says. */
import { decodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { workerCodec } from '../../majordomo/protocol.ts';
import type { WorkerInput, WorkerOutput } from '../../majordomo/commands.ts';
import type { WorkerProtocol } from '../../majordomo/options.ts';
import {
  WorkerMachine,
  type BrokerLossReason,
  type HandlerToken,
  type WorkerCall,
  type WorkerEvent,
  type WorkerPort,
  type WorkerSettings,
} from '../../majordomo/worker-machine.ts';
import { Driver } from '../../transport/driver.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { WatchedMachine } from '../watched-machine.ts';
import { BROKER_ENDPOINT } from './broker-role.ts';
import { SERVICES } from './plan.ts';
import type { Stage } from './stage.ts';
import { decodeWork, fails, partOf, partsOf, replyTo } from './work.ts';

type WorkerDriver = Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerEvent>;

export class WorkerRole {
  readonly name: string;
  readonly service: number;
  readonly #stage: Stage;
  readonly #protocol: WorkerProtocol;
  #process!: SimProcess;
  #drainingProcess: SimProcess | undefined;
  #driver!: WorkerDriver;
  /** The handlers that have not returned, and whether they ever will. */
  #running = new Map<HandlerToken, { readonly willEnd: boolean }>();

  constructor(stage: Stage, name: string, service: number, protocol: WorkerProtocol) {
    this.#stage = stage;
    this.name = name;
    this.service = service;
    this.#protocol = protocol;
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  /** A handler hangs for ever: only a restart helps. */
  get isStuck(): boolean {
    return [...this.#running.values()].some(({ willEnd }) => !willEnd);
  }

  get isDraining(): boolean {
    return this.#drainingProcess === this.#process;
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.#running.size > 0 ? 'busy' : 'idle';
  }

  start(): void {
    const { world, plan, network } = this.#stage;
    const { heartbeatInterval, heartbeatLiveness, workerQueueBytes, automaticIds } = plan.settings;
    const settings: WorkerSettings = {
      service: SERVICES[this.service]!,
      protocol: this.#protocol,
      heartbeatInterval,
      heartbeatLiveness,
      reconnectInterval: 20,
      reconnectLimit: 200,
      replyBufferBytes: 1_000_000,
      random: world.random,
    };
    const process = world.start(this.name, this.#stage.processOptions());
    const running = new Map<HandlerToken, { readonly willEnd: boolean }>();
    this.#process = process;
    this.#running = running;
    const driver: WorkerDriver = new Driver<
      WorkerPort,
      WorkerInput,
      WorkerOutput,
      WorkerCall,
      WorkerEvent
    >({
      machine: (outbox) => new WatchedMachine(new WorkerMachine(outbox, settings), {}),
      codec: workerCodec,
      kindOf: () => 'dealer',
      transport: network.transport(process, automaticIds ? { identities: 'automatic' } : {}),
      clock: process,
      peerQueueBytes: workerQueueBytes,
      onEvent: (event) => {
        this.#stage.count(`worker.${event.type}`);
        if (event.type === 'brokerLost') this.#noteLoss(event.reason);
        if (event.type === 'ready') this.#stage.count(`worker.ready.${event.dialect}`);
        if (event.type === 'request')
          this.#handle(process, driver, running, event.token, event.body);
        if (event.type === 'drained') driver.close(() => process.atTurnEnd(() => process.exit()));
      },
    });
    this.#driver = driver;
    process.run(() => driver.call({ type: 'connect', endpoints: [BROKER_ENDPOINT] }));
  }

  drain(): void {
    this.#drainingProcess = this.#process;
    this.#process.run(() => this.#driver.call({ type: 'drain' }));
  }

  stop(): void {
    this.#process.run(() => this.#driver.call({ type: 'stop' }));
  }

  #noteLoss(reason: BrokerLossReason): void {
    this.#stage.count(`worker.brokerLost.${reason}`);
    requireThat(reason !== 'unexpectedCommand', 'credit', () => {
      return `${this.name} is given a request while a handler still runs`;
    });
  }

  #handle(
    process: SimProcess,
    driver: WorkerDriver,
    running: Map<HandlerToken, { readonly willEnd: boolean }>,
    token: HandlerToken,
    body: Frames,
  ): void {
    const work = decodeWork(body);
    requireThat(work !== undefined, 'requests arrive intact', () => {
      return `${this.name} got ${body.map(decodeText).join('|').slice(0, 80)}`;
    });
    requireThat(running.size === 0, 'credit', () => {
      return `${this.name} is given ${work.id} while a handler still runs`;
    });
    const { id, behaviour, duration } = work;
    const hangs = behaviour === 'never' && !this.#stage.isHealed;
    running.set(token, { willEnd: !hangs });
    this.#stage.count('worker.execution');
    if (hangs) return;
    const steps: WorkerCall[] = [];
    for (let index = 0; index < partsOf(behaviour); index++) {
      steps.push({ type: 'write', token, body: partOf(work, index) });
    }
    const failure = { code: 'ERR_HANDLER_FAILED', message: id } as const;
    if (fails(behaviour)) steps.push({ type: 'fail', token, failure });
    else steps.push({ type: 'reply', token, body: replyTo(id) });
    const pace = duration / steps.length;
    const next = (): void => {
      process.wakeAt(process.now() + pace, () => {
        const step = steps.shift()!;
        if (steps.length === 0) running.delete(token);
        else next();
        driver.call(step);
        if (step.type === 'write') this.#stage.partSent(this.name);
      });
    };
    next();
  }
}
