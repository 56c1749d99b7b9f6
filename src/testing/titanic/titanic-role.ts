/**
 * The Titanic of a simulated run: the real machine in the real driver, over the real storage on a
 * simulated disk; what opens it, closes it, and looks after it.
 */
import type { Frames } from '../../core/machine.ts';
import type { Completed } from '../../core/options.ts';
import { Storage } from '../../storage/storage.ts';
import type { TitanicService } from '../../titanic/commands.ts';
import type { titanicMachineRules } from '../../titanic/options.ts';
import { Recovery } from '../../titanic/recovery.ts';
import { TitanicMachine } from '../../titanic/titanic-machine.ts';
import { isUp, restart, type Role } from '../roles.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { AttemptsChecker } from './attempts-checker.ts';
import type { BrokerRole } from './broker-role.ts';
import { TitanicShell } from './shell.ts';
import { BODY_LIMIT, type TitanicStage } from './stage.ts';
import { TitanicChecker } from './titanic-checker.ts';

/** Milliseconds that no attempt waits longer than, and no absent service is left alone longer than. */
const BACKOFF_LIMIT = 150;

/** Somebody looks after a Titanic that does not open, or takes nothing any more. */
const OPERATOR = 60;

/** Beyond this a limit cannot be reached in a run. */
const ROOMY = 100_000;

export class TitanicRole implements Role {
  readonly name = 'titanic';
  readonly #stage: TitanicStage;
  readonly #broker: BrokerRole;
  readonly #settings: Completed<typeof titanicMachineRules>;
  readonly #attempts: AttemptsChecker;
  #process!: SimProcess;
  #shell: TitanicShell | undefined;
  #lives = 0;
  #accepts = false;
  #draining: SimProcess | undefined;
  /** The answers that clients may still get. */
  readonly #isServing: () => boolean;

  constructor(stage: TitanicStage, broker: BrokerRole) {
    this.#stage = stage;
    this.#broker = broker;
    this.#settings = settingsOf(stage);
    const { concurrency, absence, backoffLimit } = this.#settings;
    this.#attempts = new AttemptsChecker(stage.truth, { concurrency, absence, backoffLimit });
    stage.onLink = () => this.#linkChanged();
    this.#isServing = () => this.#shell !== undefined && !this.#shell.process.isOver;
    this.start();
  }

  get process(): SimProcess {
    return this.#process;
  }

  get isDraining(): boolean {
    return this.#draining === this.#process;
  }

  /** For the fault × state matrix. */
  get state(): string {
    if (this.#stage.disk.isWriting) return 'writing';
    return this.#stage.truth.count('pending') > 0 ? 'pending' : 'idle';
  }

  /** It has been opened, and takes what it is asked. */
  get isOpen(): boolean {
    // A storage that was full says so until something is asked of it.
    const isTaking = ['open', 'full'].includes(this.#shell?.storage.state ?? 'closed');
    return this.#isServing() && isTaking && !this.isDraining;
  }

  get machine(): TitanicMachine | undefined {
    return this.#isServing() ? this.#shell!.machine : undefined;
  }

  get isWriting(): boolean {
    return this.#isServing() && this.#shell!.checker.isWriting;
  }

  start(): void {
    const { world, disk, truth } = this.#stage;
    const process = world.start(this.name, this.#stage.processOptions());
    this.#process = process;
    this.#shell = undefined;
    truth.hasFailed = disk.isFull;
    process.run(() => this.#open(process));
  }

  drain(): void {
    this.#end('drain');
  }

  stop(): void {
    this.#end('stop');
  }

  #end(type: 'drain' | 'stop'): void {
    const process = this.#process;
    this.#draining = process;
    process.run(() => {
      if (this.#shell?.process === process) this.#shell.driver.call({ type });
      else process.exit();
    });
  }

  // Opening

  #open(process: SimProcess): void {
    const { disk, plan, truth } = this.#stage;
    const { durability, cacheBytes, commitBytes } = plan.settings;
    const damage = this.#accepts ? 'accept' : 'refuse';
    const { damages } = truth;
    const recovery = new Recovery();
    let shell: TitanicShell | undefined;
    Storage.open(
      disk.open(process),
      {
        options: { durability, cacheBytes, commitBytes, damage },
        each: (key, value) => recovery.add(key, value),
        onState: (state) => {
          this.#stage.count(`storage.${state}`);
          if (shell === undefined) return;
          shell.driver.call({ type: 'storage', state });
          if (state === 'failed') this.#callOperator(process);
        },
      },
      (error, storage) => {
        if (error !== undefined) return this.#refused(process, error.code);
        requireThat(!truth.mustRefuse || this.#accepts, 'losses are noticed', () => {
          return 'records are missing, and the storage opens without a word';
        });
        truth.mustRefuse = false;
        if (truth.damages === damages) truth.mayRefuse = false;
        this.#accepts = false;
        for (const key of storage!.status().quarantined) {
          recovery.unreadable(key, 'its checksum is wrong');
          this.#stage.count('titanic.quarantined');
        }
        shell = this.#live(process, storage!, recovery);
      },
    );
  }

  #refused(process: SimProcess, code: string): void {
    const { truth } = this.#stage;
    const isDamaged = code === 'ERR_STORAGE_CORRUPT';
    const isDue = isDamaged ? truth.mustRefuse || truth.mayRefuse : truth.hasFailed;
    requireThat(isDue, 'a sound storage opens', () => `it does not: ${code}`);
    this.#stage.count(`titanic.refused.${code}`);
    if (isDamaged) this.#accepts = true;
    process.exit();
    this.#callOperator(process);
  }

  /** Whatever is left of this process ends, and the next one begins. */
  #callOperator(process: SimProcess): void {
    const { world } = this.#stage;
    world.after(OPERATOR, () => {
      if (this.#process !== process) return;
      if (!process.isOver) {
        if (world.random() < 0.5) this.stop();
        else process.crash();
      }
      world.after(OPERATOR, () => {
        if (this.#process !== process) return;
        process.crash();
        restart(this);
      });
    });
  }

  #live(process: SimProcess, storage: Storage, recovery: Recovery): TitanicShell {
    const stage = this.#stage;
    const settings = this.#settings;
    const { waiterLimit, retries, backoff, pendingLimit, pendingBytes } = settings;
    const { retentionAge, retentionCount, retentionBytes, bodyLimit } = settings;
    const isRoomy = pendingLimit >= ROOMY && pendingBytes >= ROOMY;
    const judged = { retentionAge, retentionCount, retentionBytes, bodyLimit };
    const checker = new TitanicChecker(
      stage,
      ++this.#lives,
      { ...judged, waiterLimit, retries, backoff, isRoomy },
      this.#attempts,
    );
    const shell = new TitanicShell({
      stage,
      broker: this.#broker,
      process,
      storage,
      checker,
      machine: (outbox) =>
        new TitanicMachine(
          outbox,
          {
            ...settings,
            random: stage.world.random,
            newId: () => stage.newId(),
            wallClock: stage.wallClock - process.now(),
          },
          recovery,
        ),
    });
    this.#shell = shell;
    shell.driver.call({ type: 'link', isUp: stage.isLinkUp });
    return shell;
  }

  /** The way to the broker is another; it is noticed in its time. */
  #linkChanged(): void {
    const { world } = this.#stage;
    world.after(20 * world.random(), () => {
      const shell = this.#shell;
      if (shell === undefined) return;
      shell.process.run(() => shell.driver.call({ type: 'link', isUp: this.#stage.isLinkUp }));
    });
  }

  /** A request to one of its services, in a turn of its process. Returns how to withdraw it. */
  receive(service: TitanicService, frames: Frames, answer: (frames: Frames) => void): () => void {
    const shell = this.#shell;
    if (shell === undefined || shell.process.isOver) return () => undefined;
    return shell.receive(service, frames, answer);
  }

  /** The clock on the wall was set: spans across lives mean nothing. */
  wallJumped(): void {
    this.#attempts.wallJumped = true;
  }

  /** Takes back what was done to it. */
  heal(): void {
    const process = this.#process;
    if (isUp(this) && this.isDraining) process.crash();
    if (isUp(this) && this.#shell?.storage.state === 'failed') process.crash();
    if (isUp(this)) {
      process.crashAfterEffects(Infinity);
      process.sendWithoutPause();
      process.resume();
      process.startReading();
    }
    restart(this);
  }
}

function settingsOf({ plan }: TitanicStage): Completed<typeof titanicMachineRules> {
  const { settings } = plan;
  return {
    concurrency: settings.concurrency,
    attemptTimeout: settings.attemptTimeout,
    retries: settings.retries,
    backoff: settings.backoff,
    backoffLimit: BACKOFF_LIMIT,
    absence: settings.absence,
    absenceLimit: BACKOFF_LIMIT,
    pendingLimit: settings.pendingLimit,
    pendingBytes: settings.pendingBytes,
    bodyLimit: BODY_LIMIT,
    waiterLimit: settings.waiterLimit,
    retentionAge: settings.retentionAge,
    retentionCount: settings.retentionCount,
    retentionBytes: settings.retentionBytes,
    closedAge: settings.closedAge,
    closedCount: settings.closedCount,
  };
}
