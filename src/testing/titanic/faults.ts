/** What befalls a Titanic, its disk, and the broker that it works with. */
import { inflict as inflictCommon, type CommonFault, type PlannedFault } from '../faults.ts';
import { isUp, restart, type Role } from '../roles.ts';
import { requireThat } from '../violation.ts';
import type { BrokerRole } from './broker-role.ts';
import type { TitanicFault } from './plan.ts';
import type { TitanicStage } from './stage.ts';
import type { TitanicRole } from './titanic-role.ts';

/** How many times as long all takes on a slow disk. */
const SLOWNESS = 10;

/** Milliseconds by which a clock on the wall is set wrong. */
const JUMPS = [-3_600_000, -500, 500, 3_600_000] as const;

export class Faults {
  readonly #stage: TitanicStage;
  readonly #titanic: TitanicRole;
  readonly #broker: BrokerRole;

  constructor(stage: TitanicStage, titanic: TitanicRole, broker: BrokerRole) {
    this.#stage = stage;
    this.#titanic = titanic;
    this.#broker = broker;
  }

  /** Does a fault to one of the two; false if there was nothing to do it to. */
  inflict(fault: TitanicFault, role: Role): boolean {
    if (!isUp(role)) return false;
    const { world, disk, channel } = this.#stage;
    const broker = this.#broker;
    const { kind, duration, count } = fault;
    switch (kind) {
      case 'powerCut':
      case 'bitFlip':
      case 'lostRecord':
      case 'lostTail':
      case 'wallJump':
        return this.#strike(kind, duration, count);
      case 'bitRot':
        return this.#rot();
      case 'ioError':
      case 'failedFsync':
        disk.failNext(kind);
        return true;
      case 'failedReopen':
        disk.failNextReopen();
        return this.#fill(duration, count);
      case 'diskFull':
        return this.#fill(duration, count);
      case 'slowDisk':
        disk.slow(SLOWNESS);
        world.after(duration, () => disk.slow(1));
        return true;
      case 'linkDown':
        return this.#cut(duration);
      case 'storm':
        channel.isStormy = true;
        world.after(duration, () => (channel.isStormy = false));
        return true;
      case 'absence':
        broker.setAbsent(count, true);
        world.after(duration, () => broker.setAbsent(count, false));
        return true;
      case 'slowService':
        broker.setSlow(count, true);
        world.after(duration, () => broker.setSlow(count, false));
        return true;
      case 'amnesia':
        broker.forget();
        return true;
      default: {
        const common: PlannedFault<CommonFault> = { ...fault, kind };
        return inflictCommon(this.#stage, common, role, []);
      }
    }
  }

  #cut(duration: number): true {
    const stage = this.#stage;
    stage.isCut = true;
    stage.onLink();
    stage.world.after(duration, () => {
      stage.isCut = false;
      stage.onLink();
    });
    return true;
  }

  #fill(duration: number, count: number): true {
    const { world, disk } = this.#stage;
    disk.fill(150 * (count - 1));
    world.after(duration + 100, () => disk.empty());
    return true;
  }

  /** The process dies; what it finds when it comes back is not what it left. */
  #strike(
    kind: 'powerCut' | 'bitFlip' | 'lostRecord' | 'lostTail' | 'wallJump',
    duration: number,
    count: number,
  ): boolean {
    const stage = this.#stage;
    const { world, disk, truth } = stage;
    this.#titanic.process.crash();
    world.after(duration, () => restart(this.#titanic));
    if (kind === 'wallJump') {
      stage.wallError += JUMPS[count % JUMPS.length]!;
      this.#titanic.wallJumped();
    } else if (kind === 'powerCut') {
      const lost = disk.cutPower();
      const isPromised = stage.plan.settings.durability === 'fsync';
      requireThat(!isPromised || lost.size === 0, 'acknowledged is durable', () => {
        return `a power cut loses ${[...lost].join(', ')}`;
      });
      truth.damage(lost, 'lost');
      if (lost.size > 0) truth.mayRefuse = true;
    } else if (kind === 'lostTail') {
      const missed = disk.missesNoted;
      truth.damage(disk.loseTail(count), 'lost');
      truth.mayRefuse = true;
      if (disk.missesNoted && !missed) truth.mustRefuse = true;
    } else if (kind === 'bitFlip') return this.#rot();
    else return this.#lose();
    return true;
  }

  #rot(): boolean {
    const { disk, truth } = this.#stage;
    const key = this.#anyKey();
    if (key === undefined || !disk.flipBit(key)) return false;
    truth.damage([key], 'flipped');
    truth.mayRefuse = true;
    return true;
  }

  #lose(): boolean {
    const { disk, truth } = this.#stage;
    const key = this.#anyKey();
    if (key === undefined || !disk.loseRecord(key)) return false;
    truth.damage([key], 'lost');
    truth.mustRefuse = true;
    return true;
  }

  /** Of a record whose loss can be told from another version of this library. */
  #anyKey(): string | undefined {
    const { disk, world } = this.#stage;
    const keys = [...disk.records.keys()].filter((key) => key !== '!format');
    return keys[Math.floor(world.random() * keys.length)];
  }
}
