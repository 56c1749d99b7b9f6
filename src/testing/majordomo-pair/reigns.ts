/**
 * Who served when, in the time of the world, and what of one reign the next one still knew.
 *
 * With a witness no two serve at one instant. Where clients vote two may, through a pause or a partition;
 * then both reigns are `split`, and what was done under them is promised by nobody.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Stage } from '../stage.ts';
import { requireThat } from '../violation.ts';

export interface Reign {
  readonly server: string;
  readonly process: SimProcess;
  readonly epoch: Epoch;
  readonly since: Instant;
  /** It was told that it is over. Until then it lasts as long as its process. */
  isOver: boolean;
  /** Another one began before it was over. */
  isSplit: boolean;
  /** What it does no other server has. */
  isAlone: boolean;
  /** The same as that of the reign before, if it knows all that was answered under that. */
  readonly generation: number;
}

/** A server, as it is now. */
export interface Throne {
  readonly name: string;
  /** The epoch under which it would serve at this instant of the world; 0: it would not. */
  readonly epoch: Epoch;
}

export class Reigns {
  readonly #stage: Stage;
  readonly #hasWitness: boolean;
  readonly #all = new Map<Epoch, Reign>();
  #highest: Reign | undefined;
  /** The highest epoch under which work was given or answered. */
  #acted: Epoch = 0;
  /** Who is to serve whatever is lost by that, as a person said. */
  readonly #promoted = new Set<string>();
  /** The thrones as they are now. */
  thrones: () => readonly Throne[] = () => [];

  constructor(stage: Stage, hasWitness: boolean) {
    this.#stage = stage;
    this.#hasWitness = hasWitness;
  }

  get count(): number {
    return this.#all.size;
  }

  of(epoch: Epoch): Reign | undefined {
    return this.#all.get(epoch);
  }

  /** @param holds the epoch of the state that it begins with */
  began(server: string, process: SimProcess, epoch: Epoch, holds: Epoch): void {
    const { world } = this.#stage;
    requireThat(!this.#all.has(epoch), 'epochs are unique', () => {
      return `${server} serves under ${epoch} again`;
    });
    const last = this.#highest;
    requireThat(last === undefined || !this.#hasWitness || last.epoch < epoch, 'one serves', () => {
      return `${server} begins under ${epoch} after ${last?.epoch}`;
    });
    const others = [...this.#all.values()].filter((one) => !one.isOver && !one.process.isOver);
    for (const other of others) other.isSplit = true;
    if (others.length > 0) this.#stage.count('reigns.split');
    const reign: Reign = {
      server,
      process,
      epoch,
      since: world.now,
      isOver: false,
      isSplit: others.length > 0,
      isAlone: false,
      generation: this.#generationAfter(last, server, holds),
    };
    this.#all.set(epoch, reign);
    if (last === undefined || epoch > last.epoch) this.#highest = reign;
    if (last !== undefined) this.#stage.count(last.server === server ? 'reigns.again' : 'takeover');
  }

  /** The promise goes on with one who has all that the last one had. */
  #generationAfter(last: Reign | undefined, server: string, holds: Epoch): number {
    if (last === undefined) return 0;
    // What one did alone went with its process; without a witness the other one may not wait for it.
    const isForced = this.#promoted.delete(server) || !this.#hasWitness;
    const isCut = last.isAlone && last.server !== server && (last.process.isOver || isForced);
    if (holds >= last.epoch && !isCut) return last.generation;
    this.#stage.count('reigns.memoryLost');
    return last.generation + 1;
  }

  promoted(server: string): void {
    this.#promoted.add(server);
  }

  ended(epoch: Epoch): void {
    const reign = this.#all.get(epoch);
    if (reign !== undefined) reign.isOver = true;
  }

  stoodAlone(epoch: Epoch, isAlone: boolean): void {
    const reign = this.#all.get(epoch);
    if (reign !== undefined) reign.isAlone = isAlone;
  }

  /** A broker does what only the active one may: it gives work, or answers. */
  acted(server: string, epoch: Epoch, what: string): void {
    const thrones = this.thrones();
    const own = thrones.find(({ name }) => name === server)?.epoch ?? 0;
    requireThat(epoch > 0 && own === epoch, 'one serves', () => {
      return `${server} gives a ${what} under ${epoch}, and its guard says ${own}`;
    });
    if (!this.#hasWitness) return;
    const other = thrones.find((one) => one.name !== server && one.epoch > 0);
    requireThat(other === undefined, 'one serves', () => {
      return `${server} gives a ${what} under ${epoch}, while ${other?.name} serves under ${other?.epoch}`;
    });
    requireThat(epoch >= this.#acted, 'one serves', () => {
      return `${server} gives a ${what} under ${epoch}, after one under ${this.#acted}`;
    });
    this.#acted = epoch;
  }
}
