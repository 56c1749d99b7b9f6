/** A worker of a simulated run: the real machine, and a handler that does what the work says. */
import { decodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import { workerCodec } from '../../majordomo/wire/protocol.ts';
import type { WorkerInput, WorkerOutput } from '../../majordomo/wire/commands.ts';
import {
  WorkerMachine,
  type BrokerLossReason,
  type HandlerToken,
  type WorkerCall,
  type WorkerEvent,
  type WorkerMachineEvent,
  type WorkerPort,
  type WorkerSettings,
} from '../../majordomo/worker/worker-machine.ts';
import type { Driver } from '../../transport/driver.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { BeaconRole } from './beacon-role.ts';
import { SERVICES, type PlannedWorker } from './plan.ts';
import type { MajordomoStage } from './stage.ts';
import { decodeWork, fails, partOf, partsOf, replyTo, type Work } from './work.ts';
import { WorkerChecker } from './worker-checker.ts';

type WorkerDriver = Driver<WorkerPort, WorkerInput, WorkerOutput, WorkerCall, WorkerMachineEvent>;
type RequestEvent = Extract<WorkerEvent, { type: 'request' }>;

/** How often a handler gives up when it is told that nobody waits. */
const GIVES_UP = 0.7;

/** What a suite adds to a worker. */
export interface WorkerWatch {
  /** The invariant that more handlers than wanted break. */
  readonly bound: string;
  /** Makes what watches one incarnation. */
  readonly checker: () => WorkerChecker;
  /** A handler begins. Returns what it will reply. */
  readonly begins: (work: Work, process: SimProcess, checker: WorkerChecker) => Frames;
}

/** A handler that has not returned. */
interface Running {
  /** False: it hangs, unless it is told that nobody waits. */
  willEnd: boolean;
  /** What it does next, oldest first. */
  readonly steps: WorkerCall[];
  readonly pace: number;
  /** It writes on without waiting for room. */
  readonly isHasty: boolean;
}

/** One life of the process, and all that ends with it. */
interface Life {
  readonly process: SimProcess;
  readonly checker: WorkerChecker;
  readonly beacon: BeaconRole;
  readonly driver: WorkerDriver;
  readonly running: Map<HandlerToken, Running>;
  /** Parts for which there was room. */
  written: number;
}

export class WorkerRole extends MachineRole {
  readonly service: number;
  readonly #stage: MajordomoStage;
  readonly #planned: PlannedWorker;
  readonly #watch: WorkerWatch;
  #life!: Life;

  constructor(
    stage: MajordomoStage,
    name: string,
    planned: PlannedWorker,
    watch: WorkerWatch = {
      bound: 'credit',
      checker: () => new WorkerChecker(name),
      begins: replyTo,
    },
  ) {
    super(stage, name);
    this.#stage = stage;
    this.#watch = watch;
    this.service = planned.service;
    this.#planned = planned;
    this.start();
  }

  /** Its beacon is where it is. */
  get companions(): readonly string[] {
    return [this.#life.beacon.process.name];
  }

  get checker(): WorkerChecker {
    return this.#life.checker;
  }

  /** A handler hangs for ever: only a restart helps. */
  get isStuck(): boolean {
    return [...this.#life.running.values()].some(({ willEnd }) => !willEnd);
  }

  get state(): string {
    return this.#life.running.size > 0 ? 'busy' : 'idle';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    const { workerQueueBytes, automaticIds } = stage.plan.settings;
    const checker = this.#watch.checker();
    const driver: WorkerDriver = drive<
      WorkerPort,
      WorkerInput,
      WorkerOutput,
      WorkerCall,
      WorkerMachineEvent
    >({
      stage,
      process,
      machine: (outbox) => {
        const send: typeof outbox.send = (port, to, command) => {
          if (command.type === 'announce') stage.count('worker.large');
          return outbox.send(port, to, command);
        };
        return new WorkerMachine({ ...outbox, send }, this.#settings());
      },
      checker,
      codec: workerCodec,
      kindOf: () => 'dealer',
      peerQueueBytes: workerQueueBytes,
      ...(automaticIds ? { sockets: { identities: 'automatic' } } : {}),
      onEvent: (event) => this.#handleEvent(life, event),
    });
    const beacon = new BeaconRole(stage, process);
    const life: Life = { process, checker, beacon, driver, running: new Map(), written: 0 };
    this.#life = life;
    process.run(() => driver.call({ type: 'connect', endpoints: stage.endpoints }));
    return (call) => driver.call(call);
  }

  /** Its event loop stands still, its beacon goes on. */
  stall(duration: number): void {
    this.#life.beacon.stall(duration);
  }

  /** All of the process stands still. */
  pause(duration: number): void {
    this.#life.beacon.process.pause(duration);
    this.process.pause(duration);
  }

  #settings(): WorkerSettings {
    const { world, plan } = this.#stage;
    const { protocol, concurrency } = this.#planned;
    // Stock MDP does not negotiate: there both sides must be told the same.
    const pace = protocol === 'express' ? this.#planned : plan.settings;
    return {
      service: SERVICES[this.service]!,
      protocol,
      concurrency,
      lanes: 32,
      heartbeatInterval: pace.heartbeatInterval,
      heartbeatLiveness: pace.heartbeatLiveness,
      reconnectInterval: 20,
      reconnectLimit: 200,
      replyBufferBytes: plan.settings.replyBufferBytes,
      random: world.random,
    };
  }

  #handleEvent(life: Life, event: WorkerMachineEvent): void {
    const { process, driver, beacon } = life;
    this.#count(event);
    switch (event.type) {
      case 'brokerLost':
        return this.#noteLoss(event.reason);
      case 'request':
        return this.#handle(life, event);
      case 'requestCancelled':
      case 'requestLost':
        if (this.#stage.world.random() < GIVES_UP) this.#giveUp(life, event.token);
        return;
      case 'written':
        life.written++;
        return this.#goOn(life, event.token);
      case 'sessionOpened':
        return beacon.open(event.session, event.endpoint, event.interval);
      case 'sessionClosed':
        return beacon.close(event.session);
      case 'drained':
        return exitAfter(process, driver);
      default:
    }
  }

  #count(event: WorkerMachineEvent): void {
    if (event.type === 'written') return;
    this.#stage.count(`worker.${event.type}`);
    if (event.type === 'brokerLost' || event.type === 'requestCancelled') {
      this.#stage.count(`worker.${event.type}.${event.reason}`);
    } else if (event.type === 'ready') this.#stage.count(`worker.ready.${event.dialect}`);
    else if (event.type === 'reattached') {
      this.#stage.reattachments++;
      this.#stage.count(`worker.reattached.${event.resumed ? 'resumed' : 'anew'}`);
    }
  }

  #noteLoss(reason: BrokerLossReason): void {
    requireThat(reason !== 'unexpectedCommand', 'credit', () => {
      return `${this.name} is given a request while a handler still runs`;
    });
  }

  // Handlers

  #handle(life: Life, event: RequestEvent): void {
    const { process, checker, running } = life;
    const { token, body, deadlineAt } = event;
    const work = decodeWork(body);
    requireThat(work !== undefined, 'requests arrive intact', () => {
      return `${this.name} got ${body.map(decodeText).join('|').slice(0, 80)}`;
    });
    const { bound, begins } = this.#watch;
    requireThat(running.size < this.#planned.concurrency, bound, () => {
      return `${this.name} is given ${work.id} while ${running.size} handlers run`;
    });
    const reply = begins(work, process, checker);
    this.#stage.checkTimeLeft(work.id, this.service, deadlineAt - process.now());
    const hangs = work.behaviour === 'never' && !this.#stage.isHealed;
    const steps = hangs ? [] : stepsOf(token, work, reply);
    const pace = work.duration / Math.max(1, steps.length);
    const isHasty = work.behaviour === 'partsThenFail';
    running.set(token, { willEnd: !hangs, steps, pace, isHasty });
    this.#stage.count('worker.execution');
    if (event.attempt > 1) this.#stage.count('worker.laterAttempt');
    if (!hangs) this.#later(life, token);
  }

  #later(life: Life, token: HandlerToken): void {
    const { process, running } = life;
    const pace = running.get(token)?.pace ?? 0;
    process.wakeAt(process.now() + pace, () => this.#step(life, token));
  }

  #step(life: Life, token: HandlerToken): void {
    const { driver, running } = life;
    const handler = running.get(token);
    const step = handler?.steps.shift();
    if (handler === undefined || step === undefined) return;
    if (handler.steps.length === 0) running.delete(token);
    else if (handler.isHasty) this.#later(life, token);
    const { written } = life;
    driver.call(step);
    if (step.type !== 'write') return;
    if (life.written === written) this.#stage.count('worker.waitsForCredit');
    this.#stage.partSent(this.name);
  }

  /** There is room for another part. */
  #goOn(life: Life, token: HandlerToken): void {
    const handler = life.running.get(token);
    if (handler !== undefined && !handler.isHasty) this.#later(life, token);
  }

  #giveUp(life: Life, token: HandlerToken): void {
    const { process, running, driver } = life;
    if (!running.delete(token)) return;
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'it was told to stop' } as const;
    process.wakeAt(process.now(), () => driver.call({ type: 'fail', token, failure }));
  }
}

function stepsOf(token: HandlerToken, work: Work, reply: Frames): WorkerCall[] {
  const steps: WorkerCall[] = Array.from({ length: partsOf(work.behaviour) }, (_, index) => ({
    type: 'write',
    token,
    body: partOf(work, index),
  }));
  const failure = { code: 'ERR_HANDLER_FAILED', message: work.name } as const;
  if (fails(work.behaviour)) steps.push({ type: 'fail', token, failure });
  else steps.push({ type: 'reply', token, body: reply });
  return steps;
}
