/** What all roles of a Majordomo run share beside the common stage: the plan, and what was sent. */
import { toAddress } from '../../core/frames.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { BrokerOutput, DispatchNumber, DispatchTag } from '../../majordomo/wire/commands.ts';
import type { PlannedFault } from '../faults.ts';
import { Stage } from '../stage.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { BROKER_ENDPOINT, SERVICES, type MajordomoPlan } from './plan.ts';

/** Stands for every process in `resetInReply`. */
export const ANY = '*';

/** What roles need to know of any plan. */
export type AnyMajordomoPlan = MajordomoPlan<PlannedFault>;

export class MajordomoStage<Plan extends AnyMajordomoPlan = AnyMajordomoPlan> extends Stage {
  readonly plan: Plan;
  /** Where clients and workers look for a broker, in this order. */
  readonly endpoints: readonly string[];
  /** How long the handlers of requests under idempotency keys take, in milliseconds, by their keys. */
  readonly keyedDurations: readonly number[] = [100];
  /** The tags and numbers of recent dispatches to honest workers: what a rogue may steal. */
  readonly tags: DispatchTag[] = [];
  readonly numbers: DispatchNumber[] = [];

  /** Until then links may be slow, cut or unread: what is under way there cannot be judged. */
  calmAt: Instant = 0;
  /** How long the callers over express wait, by the ids of their work. */
  readonly timeouts = new Map<string, number>();
  /** How often some worker came back to a broken link. */
  reattachments = 0;

  /** What is done to a worker as soon as a request is on its way to it. */
  readonly inDispatch = new Map<string, () => void>();

  /** The processes whose link is reset as soon as a part of a reply travels on it. */
  readonly resetInReply = new Set<string>();

  constructor(
    plan: Plan,
    transcript?: Transcript,
    endpoints: readonly string[] = [BROKER_ENDPOINT],
  ) {
    const { notices, highWaterMark, ghostDelay, jitter, lateTimers } = plan.settings;
    const network = {
      notices,
      highWaterMark,
      receiveWindow: highWaterMark / 2,
      ghostDelay,
      jitter,
      reconnectInterval: 10,
    };
    super({ seed: plan.seed, lateTimers, network }, transcript);
    this.plan = plan;
    this.endpoints = endpoints;
  }

  /**
   * True if parts may be lost without a trace: on a link that goes on, which only the fault `drop`
   * does, and in stock MDP, which does not number them.
   */
  get mayMissParts(): boolean {
    const { faults, workers, clients } = this.plan;
    const isStock = [...workers, ...clients].some(({ protocol }) => protocol !== 'express');
    return isStock && faults.some(({ kind }) => kind === 'drop');
  }

  /** Bytes of parts that may be under way to a stream: stock workers know of no bound. */
  get streamWindow(): number {
    const { workers, settings } = this.plan;
    const haveWindows = workers.every(({ protocol }) => protocol === 'express');
    return haveWindows ? settings.streamWindow : Infinity;
  }

  /** A handler is told how long its client still waits: not longer than it wanted to. */
  checkTimeLeft(work: string, service: number, timeLeft: number): void {
    // A dead letter is the broker's own request, and stock workers are told nothing.
    if (SERVICES[service] === this.plan.settings.deadLetterService) return;
    const timeout = this.timeouts.get(work) ?? Infinity;
    // The client and the broker each round up to whole milliseconds.
    requireThat(timeLeft === Infinity || timeLeft <= timeout + 2.001, 'deadlines travel', () => {
      return `the handler of ${work} is given ${timeLeft} ms, its client waits ${timeout} in all`;
    });
  }

  /** A part of a reply leaves on the link between `name` and the broker. */
  partSent(name: string): void {
    if (!this.resetInReply.delete(name) && !this.resetInReply.delete(ANY)) return;
    const { latency, jitter } = this.network.settings;
    this.world.after((latency + jitter / 2) * this.world.random(), () => {
      if (this.network.reset(name, 'broker') > 0) this.count('resetInReply');
    });
  }

  /** The numbers of dispatches begin anew. */
  brokerStarts(): void {
    this.numbers.length = 0;
  }

  /** What the broker sent, as it sent it. */
  brokerSent(to: Address, command: BrokerOutput): void {
    if (command.type === 'reply' && !command.final) this.partSent(this.#nameOf(to));
    if (command.type === 'announce') this.count('broker.large');
    if (command.type !== 'dispatch') return;
    // Only those that the broker writes have headers.
    if (command.headers !== undefined) this.count('broker.deadLetterBuried');
    const name = this.#nameOf(to);
    this.inDispatch.get(name)?.();
    this.inDispatch.delete(name);
    if (name === 'rogue') return;
    const [tag] = command.envelope;
    if (tag === undefined) this.numbers.push(command.number ?? 0);
    else this.tags.push(toAddress(tag));
    if (this.numbers.length > 4) this.numbers.shift();
    if (this.tags.length > 4) this.tags.shift();
  }

  /** Whose address this is now. */
  #nameOf(address: Address): string {
    for (const connection of this.network.connections) {
      if (connection.address === address) return connection.dealer.process.name;
    }
    return 'nobody';
  }
}
