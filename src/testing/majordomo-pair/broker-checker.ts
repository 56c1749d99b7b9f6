/**
 * What must hold at a broker of a pair: all that holds at one alone, and beside it that it does nothing
 * which only the active one may do while it is not that one, and that nobody who comes to a passive one is
 * left without an answer.
 */
import { decodeFailure } from '../../core/error-body.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Epoch } from '../../core/election.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import type {
  BrokerCall,
  BrokerMachine,
  BrokerPort,
  BrokerSettings,
} from '../../majordomo/broker/broker-machine.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import type {
  BrokerInput,
  BrokerOutput,
  DispatchCommand,
  FollowerInput,
  ReplyCommand,
} from '../../majordomo/wire/commands.ts';
import { isReserved } from '../../majordomo/wire/mmi.ts';
import { BrokerChecker } from '../majordomo/broker-checker.ts';
import { SERVICES } from '../majordomo/plan.ts';
import { ROUNDING } from '../majordomo/peer-view.ts';
import { decodeWork } from '../majordomo/work.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import type { Hearing } from './keys.ts';
import type { Server } from './plan.ts';
import type { PairStage } from './stage.ts';
import { idOf } from './worker-checker.ts';
import { isKeyed, keyedNameIn } from './worker-role.ts';

type Step = Input<BrokerPort, BrokerInput, BrokerCall>;

/** What only clients and workers say, and what each of them must be answered by a passive broker. */
const TO_ANSWER: ReadonlySet<BrokerInput['type']> = new Set(['hello', 'ready', 'request']);

/** Milliseconds that a timer may be late. */
const PROMPT = 40;

export class PairBrokerChecker extends BrokerChecker implements Hearing {
  readonly #stage: PairStage;
  readonly #name: Server;
  readonly #expiry: number;
  readonly #machine: () => BrokerMachine;
  /** The epoch that it was told to serve under; 0: it stands by. */
  epoch: Epoch = 0;
  #tookOverAt: Instant = -Infinity;
  /** It asked to serve alone; and it may. */
  #asksToBeAlone = false;
  #isAlone = false;
  #now: Instant = 0;
  /** Who is at these addresses, of workers. */
  readonly #workers = new Map<Address, SimProcess>();
  readonly #heardAt = new Map<SimProcess, Instant>();
  /** Keyed requests that it has taken in and that have not ended. */
  readonly #keyed = new Map<PendingRequest, string>();
  #accepted = 0;
  #from: Address = '';
  #input: Step | undefined;
  #isAnswered = false;

  constructor(
    stage: PairStage,
    name: Server,
    settings: BrokerSettings,
    machine: () => BrokerMachine,
  ) {
    super(settings, machine);
    this.#stage = stage;
    this.#name = name;
    this.#expiry = expiryOf(settings);
    this.#machine = machine;
  }

  /** Whose address this is: `worker`, `client`, `broker`, or nothing that is known. */
  get speaker(): string {
    return nameOf(this.#stage, this.#from);
  }

  isUnheard(worker: SimProcess): boolean {
    const heardAt = this.#heardAt.get(worker) ?? -Infinity;
    return heardAt < this.#tookOverAt && this.#now >= this.#tookOverAt + this.#expiry - ROUNDING;
  }

  override before(now: Instant, input: Step): void {
    this.#now = now;
    this.#input = input;
    this.#isAnswered = false;
    this.#from = 'from' in input ? input.from : '';
    if (input.kind === 'command' && input.command.type === 'ready') this.#meet(input.from);
    if (input.kind === 'call') this.#noteCall(now, input.call);
    if (input.kind === 'command' && input.port === 'active') this.#noteRecord(input.command);
    if (input.kind === 'command' && input.command.type === 'report') {
      const { running, finished } = input.command;
      const { service = '' } = this.#machine().sessions.of(input.from) ?? {};
      const names = (keys: readonly string[]): string[] =>
        keys.map((key) => keyedName(service, key));
      this.#stage.keys.reported(this.epoch, names(running), names(finished));
    }
    super.before(now, input);
  }

  /** The port of a follower: what the active one keeps. */
  #noteRecord(command: BrokerInput | FollowerInput): void {
    if (command.type !== 'record' || command.record.kind !== 'reply') return;
    const name = keyedNameIn(command.record.body);
    const { epoch } = this.#machine().pair!.replica.state;
    if (name !== undefined) this.#stage.keys.copied(name, epoch);
  }

  #meet(address: Address): void {
    const process = this.#stage.processAt(address);
    if (process !== undefined) this.#workers.set(address, process);
  }

  #noteCall(now: Instant, call: BrokerCall): void {
    if (call.type === 'activate') {
      this.epoch = call.epoch;
      this.#tookOverAt = now;
      this.#isAlone = false;
    } else if (call.type === 'standBy') this.epoch = 0;
    else if (call.type === 'servesAlone') {
      this.#isAlone = this.#asksToBeAlone && call.epoch === this.epoch;
      this.#stage.count('broker.servesAlone');
    }
  }

  override said(port: BrokerPort, to: Address, command: BrokerOutput, accepted: boolean): void {
    if (to === this.#from) this.#isAnswered = true;
    super.said(port, to, command, accepted);
    if (!accepted) return;
    if (command.type === 'follow') this.#stage.copies(this.#name);
    if (command.type === 'dispatch') this.#dispatched(to, command);
    else if (command.type === 'reply' && !isFailure(command) && !this.#isOfBroker) {
      this.#stage.reigns.acted(this.#name, this.epoch, 'reply');
      const name = keyedNameIn(command.body);
      if (name !== undefined)
        this.#stage.keys.checkTold(name, this.#name, this.epoch, this.#isAlone);
      if (this.#said === 'recorded') this.#stage.count('reply.heldForFollower');
      if (this.#said === 'servesAlone') this.#stage.count('reply.heldUntilAlone');
    }
  }

  /** What this step answers, in a word. */
  get #said(): string {
    const input = this.#input;
    if (input?.kind === 'command') return input.command.type;
    return input?.kind === 'call' ? input.call.type : '';
  }

  /** What is asked of the broker itself it answers whether it serves or not. */
  get #isOfBroker(): boolean {
    const input = this.#input;
    return (
      input?.kind === 'command' &&
      input.command.type === 'request' &&
      isReserved(input.command.service)
    );
  }

  #dispatched(to: Address, { body, key, number = -1 }: DispatchCommand): void {
    this.#stage.reigns.acted(this.#name, this.epoch, 'dispatch');
    if (key === undefined) return;
    const waited = this.#now - this.#tookOverAt - this.#expiry;
    if (this.#said === '' && waited > -ROUNDING && waited < PROMPT) {
      this.#stage.count('key.parkReleased');
    }
    const worker = this.#workers.get(to);
    const work = decodeWork(body);
    if (worker === undefined || work === undefined || !isKeyed(work)) return;
    const session = this.#machine().sessions.of(to)?.express?.id;
    const id = session === undefined ? '' : idOf(session, number);
    this.#stage.keys.dispatched(work.name, id, worker, this.epoch, this);
  }

  override told(event: BrokerEvent): void {
    super.told(event);
    if (event.type === 'alone') {
      this.#asksToBeAlone = event.alone;
      this.#isAlone = false;
    }
    if (this.epoch === 0) return;
    const isIncomplete = event.type === 'replyRefused' && event.reason === 'incomplete';
    if (event.type === 'workerLost' || event.type === 'dispatchLost' || isIncomplete) {
      const worker = this.#workers.get(event.worker);
      if (worker !== undefined) this.#stage.keys.lost(worker);
    }
  }

  override after(now: Instant): void {
    super.after(now);
    const { sessions } = this.#machine();
    const worker = this.#workers.get(this.#from);
    if (worker !== undefined && sessions.of(this.#from) !== undefined)
      this.#heardAt.set(worker, now);
    this.#checkAnswered();
    this.#followKeyed();
  }

  #checkAnswered(): void {
    const input = this.#input;
    if (this.epoch > 0 || input?.kind !== 'command' || !TO_ANSWER.has(input.command.type)) return;
    requireThat(this.#isAnswered, 'a passive answers', () => {
      return `${this.#name} says nothing to the ${input.command.type} of ${this.speaker}`;
    });
  }

  get #isActive(): boolean {
    return this.#machine().pair!.standing.isActive;
  }

  /** Which requests under keys have ended without an answer, while it served. */
  #followKeyed(): void {
    const { state } = this.#machine().requests;
    if (state.accepted !== this.#accepted) {
      this.#accepted = state.accepted;
      for (const request of this.#machine().keys.state.open.values()) {
        if (this.#keyed.has(request)) continue;
        this.#keyed.set(request, decodeWork(request.body)?.name ?? '');
      }
    }
    for (const [request, name] of this.#keyed) {
      if (request.state === 'queued' || request.state === 'inFlight') continue;
      this.#keyed.delete(request);
      // At the end of a reign nothing is given up: the next one goes on with it.
      const isAbandoned = request.state !== 'replied' && this.#isActive;
      if (isAbandoned) this.#stage.keys.abandoned(name);
    }
  }
}

/** What the work is called that is asked of a service under this key. */
function keyedName(service: string, key: string): string {
  return key.replace('-', `-${SERVICES.findIndex((name) => name === service)}-`);
}

function isFailure({ failure, body }: ReplyCommand): boolean {
  return failure !== undefined || decodeFailure(body) !== undefined;
}

function nameOf(stage: PairStage, address: Address): string {
  return stage.processAt(address)?.name ?? 'nobody';
}
