/**
 * What was done under idempotency keys, as nobody in the run can know it: every dispatch, which of them a
 * handler began, and what clients were told.
 *
 * A key runs once, unless whoever gives it away a second time has a reason to. What excuses a dispatch
 * before the next one:
 *  - its worker died, or was asked to end
 *  - the active broker lost its worker, or found that the dispatch or its result was lost on the link
 *  - the request under the key ended otherwise in the meantime: cancelled, or too late
 *  - its worker was not heard by the new active broker within one expiry of its takeover
 *  - nobody who is left knew of it: all who had copied it died (`Reign.generation`)
 *  - it was given to a stock worker under an earlier reign: stock MDP has no word for what runs
 *  - without a witness: one of the two was given away under a reign that was split
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Stage } from '../stage.ts';
import { requireThat } from '../violation.ts';
import type { Reigns } from './reigns.ts';

/** A keyed request that was given to a worker. */
interface Dispatched {
  readonly name: string;
  readonly worker: SimProcess;
  /** What the worker knows it by; '' for a stock one. */
  readonly id: string;
  readonly epoch: Epoch;
  readonly at: Instant;
  /** Which execution it became, if it did. */
  execution: number | undefined;
  /** Earlier ones that nothing excused. */
  readonly unexcused: Dispatched[];
}

/** What the broker that gives a key away knows of workers. */
export interface Hearing {
  /** True if it has waited for this worker for one expiry since it took over, and did not hear it. */
  isUnheard(worker: SimProcess): boolean;
}

interface Told {
  readonly text: string;
  readonly client: string;
  readonly isSplit: boolean;
}

export class Keys {
  readonly #stage: Stage;
  readonly #reigns: Reigns;
  readonly #hasWitness: boolean;
  readonly #dispatched = new Map<string, Dispatched[]>();
  readonly #byId = new Map<string, Dispatched>();
  /** Workers that an active broker lost, or asked to end, and when. */
  readonly #lost = new Map<SimProcess, Instant>();
  /** Keys whose request ended without an answer, and when. */
  readonly #abandoned = new Map<string, Instant>();
  /** By key and generation. */
  readonly #answers = new Map<string, Told>();
  /** Of these the passive broker has had the answer, and these a broker has told. */
  readonly #copied = new Set<string>();
  readonly #told = new Set<string>();
  #executions = 0;

  constructor(stage: Stage, reigns: Reigns, hasWitness: boolean) {
    this.#stage = stage;
    this.#reigns = reigns;
    this.#hasWitness = hasWitness;
  }

  /** An active broker gave a key away. @param id of the dispatch at its worker */
  dispatched(name: string, id: string, worker: SimProcess, epoch: Epoch, hearing: Hearing): void {
    const at = this.#stage.world.now;
    const earlier = this.#dispatched.get(name) ?? [];
    const one: Dispatched = {
      name,
      worker,
      id,
      epoch,
      at,
      execution: undefined,
      unexcused: earlier.filter((former) => !this.#isExcused(former, epoch, hearing)),
    };
    this.#dispatched.set(name, [...earlier, one]);
    if (id !== '') this.#byId.set(id, one);
  }

  #isExcused(former: Dispatched, epoch: Epoch, hearing: Hearing): boolean {
    const { name, worker, at } = former;
    if (worker.isOver) return true;
    if ((this.#lost.get(worker) ?? -1) >= at) return true;
    if ((this.#abandoned.get(name) ?? -1) >= at) return true;
    if (former.id === '' && former.epoch !== epoch) {
      this.#stage.count('key.excused.stock');
      return true;
    }
    if (former.epoch !== epoch && hearing.isUnheard(worker)) {
      this.#stage.count('key.excused.unheard');
      return true;
    }
    const [before, now] = [this.#reigns.of(former.epoch), this.#reigns.of(epoch)];
    if (before?.generation !== now?.generation) return true;
    return this.#isSplit(former.epoch) || this.#isSplit(epoch);
  }

  #isSplit(epoch: Epoch): boolean {
    return !this.#hasWitness && this.#reigns.of(epoch)?.isSplit === true;
  }

  /** An active broker lost this worker, or something on the link to it; or it was asked to end. */
  lost(worker: SimProcess): void {
    this.#lost.set(worker, this.#stage.world.now);
  }

  /** The request under a key ended without an answer, though nobody was lost. */
  abandoned(name: string): void {
    this.#abandoned.set(name, this.#stage.world.now);
  }

  /** A handler begins: of this dispatch, or of the last one under its key to that worker. */
  began(name: string, worker: SimProcess, id: string | undefined): number {
    const execution = this.#executions++;
    const all = this.#dispatched.get(name) ?? [];
    const one =
      id === undefined
        ? all.findLast((it) => it.worker === worker && it.execution === undefined)
        : this.#byId.get(id);
    if (one === undefined) return execution;
    one.execution = execution;
    const pairs = all
      .filter((other) => other.execution !== undefined && other !== one)
      .map((other) =>
        other.at < one.at || all.indexOf(other) < all.indexOf(one) ? [other, one] : [one, other],
      );
    for (const [first, second] of pairs) {
      this.#stage.count('key.runsTwice');
      requireThat(!second!.unexcused.includes(first!), 'a key runs once', () => {
        const [former, later] = [first!, second!].map(
          (it) => `by ${it.worker.name} (given away at ${it.at} under ${it.epoch})`,
        );
        return `${name} runs ${former}, and again ${later}, which nothing excuses`;
      });
    }
    return execution;
  }

  /** A worker tells the active broker the names of what it runs, and of what it has finished. */
  reported(epoch: Epoch, running: readonly string[], finished: readonly string[]): void {
    const isOlder = (name: string): boolean =>
      (this.#dispatched.get(name) ?? []).some(
        (it) => it.execution !== undefined && it.epoch < epoch,
      );
    if (running.some(isOlder)) this.#stage.count('key.reported.running');
    if (finished.some(isOlder)) this.#stage.count('key.reported.finished');
  }

  /** The passive broker has this answer, which the active one of that epoch kept. */
  copied(name: string, epoch: Epoch): void {
    this.#copied.add(this.#inGeneration(name, epoch));
  }

  /** A broker tells an answer: not without the other one having it, unless it serves alone. */
  checkTold(name: string, server: string, epoch: Epoch, isAlone: boolean): void {
    const key = this.#inGeneration(name, epoch);
    requireThat(isAlone || this.#copied.has(key) || this.#told.has(key), 'an answer stays', () => {
      return `${server} tells the answer to ${name} under ${epoch}, and nobody else has it`;
    });
    this.#told.add(key);
  }

  #inGeneration(name: string, epoch: Epoch): string {
    return `${name} ${this.#reigns.of(epoch)?.generation ?? 0}`;
  }

  /** A client was told an answer under a key, in a session under this epoch. */
  answered(name: string, client: string, epoch: Epoch, text: string): void {
    const isSplit = this.#isSplit(epoch);
    const key = this.#inGeneration(name, epoch);
    const former = this.#answers.get(key);
    requireThat(
      former === undefined || former.text === text || former.isSplit || isSplit,
      'an answer stays',
      () =>
        `${client} is told ${text} under ${epoch} for ${name}; ${former?.client} was told ${former?.text}`,
    );
    if (former === undefined || former.isSplit) this.#answers.set(key, { text, client, isSplit });
    const given = (this.#dispatched.get(name) ?? []).some((it) => it.epoch === epoch);
    if (!given) this.#stage.count('key.answeredOfAnEarlierReign');
  }
}
