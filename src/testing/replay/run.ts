/**
 * One run of a replay plan. The viable core that is healed in the end is the publisher and one subscriber.
 *
 * Its last proof comes in two parts. While messages go on being published, the subscriber must come to
 * where the publisher was when all was healed; and when they stop, it must have the very last one.
 */
import { inflict as inflictCommon } from '../faults.ts';
import { isUp, type Role } from '../roles.ts';
import { Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { CHAOS_ENDS, type ReplayFault, type ReplayPlan } from './plan.ts';
import { PublisherRole } from './publisher-role.ts';
import { RogueRole } from './rogue-role.ts';
import { ReplayStage } from './stage.ts';
import { SubscriberRole } from './subscriber-role.ts';

/** Milliseconds that the core may take: back-off, expiry, timeouts, late timers, and a slow user. */
const RECOVERY = 4000;

/** Messages of a burst. */
const BURST = 12;

/** @throws nothing: a violation is part of the result */
export function runReplayPlan(plan: ReplayPlan, transcript?: Transcript): RunResult {
  return new ReplayRun(new ReplayStage(plan, transcript)).run();
}

class ReplayRun extends Scenario<ReplayFault> {
  readonly #stage: ReplayStage;
  readonly #publisher: PublisherRole;
  readonly #subscribers: SubscriberRole[] = [];
  readonly #rogue: RogueRole | undefined;

  constructor(stage: ReplayStage) {
    super(stage);
    this.#stage = stage;
    this.#publisher = new PublisherRole(stage);
    this.#rogue = stage.plan.hasRogue ? new RogueRole(stage) : undefined;
    const [first] = stage.plan.subscribers;
    this.#subscribers.push(new SubscriberRole(stage, 'subscriber-0', first!));
  }

  protected get roles(): readonly Role[] {
    return [this.#publisher, ...this.#subscribers];
  }

  protected peersOf(role: Role): readonly Role[] {
    return role === this.#publisher ? this.#subscribers : [this.#publisher];
  }

  protected inflict(fault: ReplayFault, role: Role): boolean {
    const { kind, duration, count } = fault;
    const { world, store, plan } = this.#stage;
    if (kind === 'burst') {
      this.#publisher.publish(count * BURST);
      return isUp(this.#publisher);
    }
    if (kind === 'diskFull') {
      if (!plan.isStored) return false;
      store.isFull = true;
      world.after(duration, () => (store.isFull = false));
      return true;
    }
    return inflictCommon(this.#stage, { ...fault, kind }, role, this.peersOf(role));
  }

  protected chaos(): void {
    const { world, plan } = this.#stage;
    plan.subscribers.slice(1).forEach((subscriber, index) => {
      world.schedule(subscriber.at, () => {
        const name = `subscriber-${index + 1}`;
        this.#subscribers.push(new SubscriberRole(this.#stage, name, subscriber));
      });
    });
    this.scheduleFaults(plan.faults);
    world.run(CHAOS_ENDS);
  }

  protected liveness(): void {
    const { world, plan, store } = this.#stage;
    const publisher = this.#publisher;
    const subscriber = this.#subscribers[plan.core % this.#subscribers.length]!;
    this.#rogue?.process.crash();
    this.breakTheRest([publisher, subscriber]);
    store.isFull = false;
    this.heal(publisher);
    this.heal(subscriber);
    const { sequence: healedAt } = publisher.status();
    this.runUntil(() => this.#isAt(subscriber, healedAt), world.now + RECOVERY);
    this.#check(subscriber, healedAt, 'while messages are published');
    this.#stage.isPublishing = false;
    this.runUntil(() => this.#isAtEnd(subscriber), world.now + RECOVERY);
    this.#check(subscriber, publisher.status().sequence, 'after the last message');
    requireThat(publisher.status().pending === 0, 'recovery ends', () => {
      return `${publisher.status().pending} messages still wait for the store`;
    });
    this.checkDrains([publisher, subscriber], RECOVERY);
  }

  protected verdict(): Verdict {
    const { tally } = this.#stage;
    const disturbances = ['gapDetected', 'publisherRestarted', 'fellBehind'];
    return {
      completed: tally.get('subscriber.message') ?? 0,
      disturbed: disturbances.some((name) => (tally.get(`subscriber.${name}`) ?? 0) > 0),
    };
  }

  #isAt(subscriber: SubscriberRole, sequence: number): boolean {
    return subscriber.status().position.sequence >= sequence;
  }

  #isAtEnd(subscriber: SubscriberRole): boolean {
    const { pending, sequence } = this.#publisher.status();
    return pending === 0 && subscriber.status().position.sequence === sequence;
  }

  #check(subscriber: SubscriberRole, sequence: number, when: string): void {
    const { position, state } = subscriber.status();
    requireThat(position.sequence >= sequence, 'recovery ends', () => {
      return `${subscriber.name} is ${state} at ${position.sequence}, and not at ${sequence}, ${when}`;
    });
  }
}
