/** A server of a simulated run: the real machine, and a handler that does what the work says. */
import { decodeText } from '../../core/frames.ts';
import type { FreelanceServerEvent } from '../../freelance/server-events.ts';
import { serverCodec } from '../../freelance/protocol.ts';
import { ServerMachine, type ServerCall } from '../../freelance/server-machine.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { ServerChecker } from './server-checker.ts';
import { endpointOf, type FreelanceStage } from './stage.ts';
import { decodeWork, replyTo } from '../work.ts';

type Request = Extract<FreelanceServerEvent, { type: 'request' }>;

/** How often a handler gives up when it is told that nobody waits. */
const GIVES_UP = 0.7;

/** One life of the process, and all that ends with it. */
interface Life {
  readonly process: SimProcess;
  readonly machine: () => ServerMachine;
  readonly call: (call: ServerCall) => void;
  /** Handlers that are not done, and whether they will be. */
  readonly handlers: Map<number, { readonly willEnd: boolean }>;
}

export class ServerRole extends MachineRole {
  declare protected readonly stage: FreelanceStage;
  readonly #concurrency: number;
  #life!: Life;

  constructor(stage: FreelanceStage, name: string, concurrency: number) {
    super(stage, name);
    this.#concurrency = concurrency;
    this.start();
  }

  /** For the fault × state matrix. */
  get state(): string {
    return this.#life.handlers.size > 0 ? 'busy' : 'idle';
  }

  /** A handler hangs for ever: only a restart helps. */
  get isStuck(): boolean {
    return [...this.#life.handlers.values()].some(({ willEnd }) => !willEnd);
  }

  get isIdle(): boolean {
    return this.remembered === 0 && this.#life.handlers.size === 0;
  }

  /** Requests that have not ended. */
  get remembered(): number {
    const { requests, running } = this.#life.machine();
    return requests.state.open.size + requests.state.queues.size + running;
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { serverQueueLimit, serverQueueBytes, serverPeerQueueBytes } = this.stage.plan.settings;
    const settings = {
      concurrency: this.#concurrency,
      queueLimit: serverQueueLimit,
      queueBytes: serverQueueBytes,
    };
    let machine!: ServerMachine;
    const driver = drive({
      stage: this.stage,
      process,
      machine: (outbox) => (machine = new ServerMachine(outbox, settings)),
      checker: new ServerChecker(this.name, settings, () => machine),
      codec: serverCodec,
      kindOf: () => 'router',
      peerQueueBytes: serverPeerQueueBytes,
      onEvent: (event: FreelanceServerEvent) => this.#handleEvent(life, event, driver),
    });
    const call = (made: ServerCall): void => driver.call(made);
    const life: Life = { process, machine: () => machine, call, handlers: new Map() };
    this.#life = life;
    process.run(() => driver.bind('clients', endpointOf(this.name), () => undefined));
    return call;
  }

  #handleEvent(
    life: Life,
    event: FreelanceServerEvent,
    driver: Parameters<typeof exitAfter>[1],
  ): void {
    this.stage.count(`server.${event.type}`);
    if ('reason' in event && event.type !== 'malformed') {
      this.stage.count(`server.${event.type}.${event.reason}`);
    }
    if (event.type === 'request') this.#handle(life, event);
    else if (event.type === 'requestLost') {
      if (this.stage.world.random() < GIVES_UP) this.#giveUp(life, event.token);
    } else if (event.type === 'drained') exitAfter(life.process, driver);
  }

  #handle({ process, handlers, call }: Life, { token, body }: Request): void {
    const work = decodeWork(body);
    requireThat(work !== undefined, 'requests arrive intact', () => {
      return `${this.name} got ${body.map(decodeText).join('|').slice(0, 80)}`;
    });
    requireThat(handlers.size < this.#concurrency, 'concurrency is kept', () => {
      return `${this.name} is given ${work.id} while ${handlers.size} handlers run`;
    });
    const execution = this.stage.execute(this.name, work.id);
    const willEnd = work.behaviour !== 'never' || this.stage.isHealed;
    handlers.set(token, { willEnd });
    if (!willEnd) return;
    process.wakeAt(process.now() + work.duration, () => {
      if (!handlers.delete(token)) return;
      if (work.behaviour === 'fail') {
        const failure = { code: 'ERR_HANDLER_FAILED', message: work.id } as const;
        call({ type: 'fail', token, failure });
      } else call({ type: 'reply', token, body: replyTo(work, this.name, execution) });
    });
  }

  #giveUp({ process, handlers, call }: Life, token: number): void {
    if (!handlers.delete(token)) return;
    const failure = { code: 'ERR_HANDLER_FAILED', message: 'it was told to stop' } as const;
    process.wakeAt(process.now(), () => call({ type: 'fail', token, failure }));
  }
}
