/**
 * One run of a Titanic plan.
 *
 * In the end everything is healed, and the pattern's purpose is proven: whatever was acknowledged is
 * answered, or dead for a reason, or closed; what is new is done as ever; what the machine believes is what
 * the disk holds, after one more crash too; and nothing is left of what was closed.
 */
import { countLost } from '../effects.ts';
import { isUp, restart, type Role } from '../roles.ts';
import { Scenario, type Verdict } from '../scenario.ts';
import type { RunResult } from '../suite.ts';
import type { Transcript } from '../transcript.ts';
import { requireThat } from '../violation.ts';
import { BrokerRole } from './broker-role.ts';
import { Clients, textIn } from './client.ts';
import { Faults } from './faults.ts';
import { CHAOS_ENDS, SERVICES, type TitanicFault, type TitanicPlan } from './plan.ts';
import { TitanicStage } from './stage.ts';
import { TitanicRole } from './titanic-role.ts';
import type { RequestTruth } from './truth.ts';

/** Milliseconds in which everything that is pending has to end: delays, attempts, back-off, and rests. */
const PATIENCE = 20_000;

/** Milliseconds until a Titanic is open again, perhaps by its operator's hand. */
const RECOVERY = 3000;

const SLACK = 3000;

/** One run, from chaos to its proof. @throws nothing: a violation is part of the result */
export function runTitanicPlan(plan: TitanicPlan, transcript?: Transcript): RunResult {
  return new TitanicRun(new TitanicStage(plan, transcript)).run();
}

export class TitanicRun extends Scenario<TitanicFault> {
  protected readonly stage: TitanicStage;
  protected readonly titanic: TitanicRole;
  protected readonly clients: Clients;
  readonly #broker: BrokerRole;
  readonly #faults: Faults;

  constructor(stage: TitanicStage) {
    super(stage);
    this.stage = stage;
    this.#broker = new BrokerRole(stage);
    this.titanic = new TitanicRole(stage, this.#broker);
    this.clients = new Clients(stage, this.titanic);
    this.#faults = new Faults(stage, this.titanic, this.#broker);
  }

  protected get roles(): readonly Role[] {
    return [this.titanic, this.#broker];
  }

  protected peersOf(): readonly Role[] {
    return [];
  }

  protected inflict(fault: TitanicFault, role: Role): boolean {
    return this.#faults.inflict(fault, role);
  }

  protected chaos(): void {
    const { world, plan } = this.stage;
    for (const operation of plan.operations) {
      world.schedule(operation.at, () => this.clients.operate(operation));
    }
    for (let at = plan.probePace; at < CHAOS_ENDS; at += plan.probePace) {
      world.schedule(at, () => this.clients.probe());
    }
    this.scheduleFaults(plan.faults);
    world.run(CHAOS_ENDS);
  }

  protected liveness(): void {
    this.#healAll();
    this.awaitOpening();
    this.awaitEnds();
    this.#prove();
    this.checkAgreement();
    this.titanic.process.crash();
    this.titanic.start();
    this.awaitOpening();
    this.checkAgreement();
    this.#closeAll();
    this.checkDrains([this.titanic], SLACK);
    this.runUntil(() => this.stage.channel.inTransit === 0, this.stage.world.now + SLACK);
  }

  protected verdict(): Verdict {
    const { tally, world } = this.stage;
    const restarts = (tally.get('titanic.recovered') ?? 0) - 2;
    return {
      completed: this.clients.fetched,
      disturbed: restarts > 0 || countLost(world.effects) > 0,
    };
  }

  #healAll(): void {
    const { disk, channel } = this.stage;
    disk.heal();
    channel.calm();
    this.stage.isCut = false;
    this.breakTheRest(this.roles);
    this.heal(this.#broker);
    this.#broker.heal();
    this.titanic.heal();
    // A crash may have been due at the end of a turn that a pause had interrupted.
    this.stage.world.run(this.stage.world.now);
    for (const role of this.roles) restart(role);
    this.stage.onLink();
  }

  protected awaitOpening(): void {
    this.runUntil(() => this.titanic.isOpen, this.stage.world.now + RECOVERY);
    requireThat(this.titanic.isOpen, 'the Titanic works again', () => 'it does not open');
  }

  /** Everything that is pending ends. */
  protected awaitEnds(): void {
    const { truth, world } = this.stage;
    const pending = (): string[] =>
      [...truth.all]
        .filter(({ state, damage }) => state === 'pending' && damage === 'none')
        .map(({ id }) => id);
    this.runUntil(() => this.#isQuiet(), world.now + PATIENCE);
    const [id] = pending();
    requireThat(id === undefined, 'everything comes to its end', () => {
      return `${id} is pending, though everything is healed`;
    });
    const { retentionCount } = this.stage.plan.settings;
    const kept = [...truth.all].filter(
      ({ state, damage }) => damage === 'none' && (state === 'done' || state === 'dead'),
    ).length;
    // What the store refused to discard is tried again later.
    requireThat(kept <= retentionCount || truth.hasFailed, 'retention is kept', () => {
      return `${kept} replies and dead letters are kept, ${retentionCount} may be`;
    });
  }

  #isQuiet(): boolean {
    const status = this.titanic.machine?.status();
    if (status === undefined || !this.titanic.isOpen || this.titanic.isWriting) return false;
    return status.delayed + status.waiting + status.running === 0;
  }

  /** What is asked of a service now is done, fetched and closed. */
  #prove(): void {
    const { world, truth, plan } = this.stage;
    const service = SERVICES[plan.seed % SERVICES.length]!;
    let isProven = false;
    this.clients.whole(service, (id, answer) => {
      const isGone = answer?.status === 400 && truth.of(id).state !== 'pending';
      requireThat(answer?.status === 200 || isGone, 'the Titanic works again', () => {
        return `${service}, asked after healing, gets ${answer?.status} ${answer?.code}`;
      });
      isProven = true;
    });
    this.runUntil(() => isProven, world.now + SLACK);
    requireThat(isProven, 'the Titanic works again', () => `${service} gets no answer`);
  }

  /** The machine lists what the disk holds. */
  protected checkAgreement(): void {
    const { world, truth } = this.stage;
    const listed = new Set<string>();
    // What is stored only now, or not yet known to be, may have been too late for its page.
    const before = [...truth.all]
      .filter((request) => isKept(request) && request.former === undefined)
      .map((request) => ({ request, era: request.era }));
    let isOver = false;
    const read = (after?: string): void => {
      this.clients.list((answer) => {
        requireThat(answer?.status === 200, 'the Titanic works again', () => 'it lists nothing');
        const page: { requests: { id: string }[]; after?: string } = JSON.parse(
          textIn(answer.body),
        );
        for (const { id } of page.requests) listed.add(id);
        if (page.after === undefined) isOver = true;
        else read(page.after);
      }, after);
    };
    read();
    this.runUntil(() => isOver, world.now + SLACK);
    for (const { request, era } of before) {
      const { id, state, former, damage } = request;
      if (damage !== 'none' || former !== undefined || era !== request.era) continue;
      requireThat(!isKept(request) || listed.has(id), 'storage and memory agree', () => {
        return `${id} is ${state} on the disk, and is not listed`;
      });
    }
  }

  /** Nothing is left of what is closed but that it was. */
  #closeAll(): void {
    const { world, truth, disk, plan } = this.stage;
    const ids = [...truth.all].map(({ id }) => id);
    let left = ids.length;
    for (const id of ids) {
      this.clients.close(id, 20, (answer) => {
        requireThat(answer?.status === 200, 'the Titanic works again', () => {
          return `${id} cannot be closed: ${answer?.status} ${answer?.code}`;
        });
        left--;
      });
    }
    this.runUntil(() => left === 0 && !this.titanic.isWriting, world.now + SLACK);
    const closed = [...disk.records.keys()].filter((key) => key.startsWith('closed:'));
    requireThat(closed.length <= plan.settings.closedCount, 'quiescence', () => {
      return `${closed.length} closed ids are remembered, ${plan.settings.closedCount} may be`;
    });
    for (const key of disk.records.keys()) {
      const isBookkeeping = key.startsWith('!') || key.startsWith('closed:');
      const isExcused =
        !isBookkeeping && truth.of(key.slice(key.indexOf(':') + 1)).damage === 'lost';
      requireThat(isBookkeeping || isExcused, 'quiescence', () => `${key} is left on the disk`);
    }
    const { machine } = this.titanic;
    requireThat(machine !== undefined && isUp(this.titanic), 'quiescence', () => 'it is down');
    const { delayed, waiting, running, done, dead } = machine.status();
    const sum = delayed + waiting + running + done + dead;
    requireThat(sum === 0, 'quiescence', () => `${sum} requests are remembered`);
  }
}

/** A Titanic that works has it in its list. */
function isKept({ state }: RequestTruth): boolean {
  return state === 'done' || state === 'dead' || state === 'pending';
}
