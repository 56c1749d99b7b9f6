/**
 * An exhaustive search: every order in which messages, timers and stores can come to a pair and its
 * witness, with a few faults, for so many ticks of a clock.
 *
 * The machines are the real ones, gone on with from copies of their state. What a step of one machine
 * gives is worked out once (`actors.ts`); a world is then a few numbers, and worlds that agree in all of
 * them are one. A message takes one tick, or longer if its direction is cut, and keeps its order on each link;
 * faults begin between two ticks.
 */
import type { Epoch } from '../../core/election.ts';
import { Actors, type Actor, type Machines, type Step } from './actors.ts';
import { Violation } from '../violation.ts';
import { after, Found, keyOf, LINKS, NAMES, type Trail, type World } from './world.ts';

export interface SearchOptions {
  readonly hasWitness: boolean;
  /** Ticks before the search begins, in which all goes well: then one may serve already. */
  readonly prelude: number;
  /** Ticks in which anything may happen. */
  readonly ticks: number;
  readonly faults: number;
  /** The machines to search; others than the real ones, to see that the search finds what is wrong. */
  readonly machines?: Partial<Machines>;
  /** Ends the search early when so many worlds were seen. */
  readonly limit?: number;
}

export interface SearchReport {
  /** Worlds that differ. */
  readonly worlds: number;
  /** Steps from one world to another. */
  readonly steps: number;
  /** States of one machine that differ. */
  readonly states: number;
  /** Worlds at the end of all ticks, from which it was tried whether one serves for good. */
  readonly settled: number;
  /** The limit was reached. */
  readonly isCut: boolean;
  /** What went wrong first, and how it came to that. */
  readonly violation: Violation | undefined;
  readonly trail: readonly string[];
}

/** For how many ticks somebody stands still or is away, and a direction is cut. */
const PAUSE = 10;
const AWAY = [1, 10] as const;
const CUT = 10;

/** Ticks after which a pair that is left alone must have settled, and in which nothing then changes. */
const SETTLING = 60;
const REST = 10;

/** Searches all that can happen. A violation ends it. */
export function search(options: SearchOptions): SearchReport {
  return new Search(options).run();
}

class Search {
  readonly #options: SearchOptions;
  readonly #actors: Actors;
  #tick = 0;
  #worlds = 0;
  #steps = 0;
  #settled = 0;
  #isCut = false;
  #seen = new Set<string>();

  constructor(options: SearchOptions) {
    this.#options = options;
    this.#actors = new Actors(options.hasWitness, options.machines ?? {});
  }

  run(): SearchReport {
    let violation: Violation | undefined;
    let trail: Trail | undefined;
    try {
      this.#searchAll();
    } catch (error) {
      if (!(error instanceof Found)) throw error;
      violation = error.violation;
      trail = error.trail;
    }
    const lines: string[] = [];
    for (let at = trail; at !== undefined; at = at.before) lines.unshift(at.action);
    return {
      worlds: this.#worlds,
      steps: this.#steps,
      states: this.#actors.states,
      settled: this.#settled,
      isCut: this.#isCut,
      violation,
      trail: lines,
    };
  }

  #searchAll(): void {
    let layer: readonly World[] = [this.#prelude(this.#beginning())];
    for (let ticks = 0; ticks < this.#options.ticks && !this.#isCut; ticks++) {
      layer = this.#searchTick(layer);
      this.#tick++;
    }
    const every = Math.max(1, Math.floor(layer.length / SAMPLES));
    layer.forEach((world, index) => {
      if (index % every === 0) this.#settle(world);
    });
  }

  #beginning(): World {
    const count = this.#options.hasWitness ? 3 : 2;
    const none = NAMES.slice(0, count).map(() => -1);
    let world: World = {
      actors: none,
      records: none,
      stores: none.map(() => []),
      links: LINKS.map(() => []),
      idleUntil: none.map(() => 0),
      cutUntil: Array.from({ length: 9 }, () => 0),
      faultsLeft: 0,
      clients: [0, 0],
      asked: 0,
      highest: 0,
      trail: undefined,
    };
    for (let actor = 0; actor < count; actor++) world = this.#start(world, actor);
    return world;
  }

  /** What happens if all is well and nothing is late. */
  #prelude(beginning: World): World {
    let world = beginning;
    for (let tick = 0; tick < this.#options.prelude; tick++) world = this.#calmTick(world);
    return { ...world, faultsLeft: this.#options.faults };
  }

  // All that can happen in one tick

  /** Returns the worlds in which the next tick begins. */
  #searchTick(layer: readonly World[]): readonly World[] {
    this.#seen = new Set();
    const next = new Map<string, World>();
    const open: World[] = [];
    for (const world of layer) {
      for (const start of this.#withFaults(world)) if (this.#isNew(start)) open.push(start);
    }
    for (;;) {
      const world = open.pop();
      if (world === undefined) return [...next.values()];
      if (this.#worlds >= (this.#options.limit ?? Infinity)) {
        this.#isCut = true;
        return [];
      }
      if (this.#mayPass(world)) {
        const passed = this.#pass(world);
        next.set(keyOf(passed), passed);
      }
      for (const following of this.#following(world)) {
        this.#steps++;
        if (this.#isNew(following)) open.push(following);
      }
    }
  }

  #isNew(world: World): boolean {
    const key = keyOf(world);
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    this.#worlds++;
    this.#check(world);
    return true;
  }

  /** At any instant one serves at most; without a witness two may. */
  #check(world: World): void {
    if (!this.#options.hasWitness) return;
    const [one, other] = [this.#epochOf(world, 0), this.#epochOf(world, 1)];
    if (one > 0 && other > 0) {
      this.#fail(world, 'one serves', `primary under ${one}, and backup under ${other}`);
    }
  }

  #epochOf(world: World, actor: number): Epoch {
    const state = world.actors[actor]!;
    return state < 0 ? 0 : this.#actors.epochAt(state, this.#tick);
  }

  #fail(world: World, invariant: string, message: string): never {
    throw new Found(new Violation(invariant, message), world.trail);
  }

  *#following(world: World): Generator<World> {
    for (let link = 0; link < LINKS.length; link++) {
      if (this.#hasArrived(world, link)) yield this.#deliver(world, link);
    }
    for (let actor = 0; actor < world.actors.length; actor++) {
      if (!this.#isAwake(world, actor)) continue;
      if (this.#isDue(world, actor)) yield this.#expire(world, actor);
      if (world.stores[actor]!.length > 0) yield this.#stored(world, actor);
    }
    for (let client = 0; client < world.clients.length; client++) {
      for (const server of [0, 1]) {
        if (this.#mayAsk(world, client, server)) yield this.#ask(world, client, server);
      }
    }
  }

  /** Clients ask where that changes anything: somebody sees a higher epoch, or votes for the first time in a tick. */
  #mayAsk(world: World, client: number, server: number): boolean {
    if (!this.#isAwake(world, server)) return false;
    const epoch = this.#epochOf(world, server);
    const known = this.#actors.highest(world.actors[server]!);
    const shown = world.clients[client]!;
    if (shown > known || Math.max(epoch, known) > shown) return true;
    return !this.#options.hasWitness && epoch === 0 && (world.asked & (1 << server)) === 0;
  }

  #isAwake(world: World, actor: number): boolean {
    return world.actors[actor]! >= 0 && world.idleUntil[actor]! <= this.#tick;
  }

  /** Its next message has had its time, and somebody is there to read it. */
  #hasArrived(world: World, link: number): boolean {
    const [first = 0] = world.links[link]!;
    const { from, to } = LINKS[link]!;
    return first < 0 && this.#isAwake(world, to) && world.cutUntil[3 * from + to]! <= this.#tick;
  }

  #isDue(world: World, actor: number): boolean {
    return this.#actors.isDue(world.actors[actor]!, this.#tick);
  }

  /** Time goes on once everything that is due now has happened. */
  #mayPass(world: World): boolean {
    for (let link = 0; link < LINKS.length; link++) {
      if (this.#hasArrived(world, link)) return false;
    }
    return world.actors.every((_, actor) => {
      if (!this.#isAwake(world, actor)) return true;
      return !this.#isDue(world, actor) && world.stores[actor]!.length === 0;
    });
  }

  /** The next tick begins: who was away is started, and what is under way must arrive in it. */
  #pass(world: World): World {
    const tick = this.#tick + 1;
    let passed: World = {
      ...world,
      asked: 0,
      links: world.links.map((messages) => messages.map((message) => -Math.abs(message))),
      idleUntil: world.idleUntil.map((until) => (until <= tick ? 0 : until)),
      cutUntil: world.cutUntil.map((until) => (until <= tick ? 0 : until)),
      trail: { before: world.trail, action: `— tick ${tick}` },
    };
    passed.actors.forEach((state, actor) => {
      const isAway = state < 0 && passed.idleUntil[actor]! > 0;
      if (state < 0 && !isAway) passed = this.#start(passed, actor);
    });
    return passed;
  }

  // Faults

  /** The world as it is, and with one fault or more. */
  #withFaults(world: World): World[] {
    const all = [world];
    for (const base of all) {
      if (base.faultsLeft > 0) all.push(...this.#faults(base));
    }
    return all;
  }

  *#faults(world: World): Generator<World> {
    const until = this.#tick;
    const faultsLeft = world.faultsLeft - 1;
    for (let actor = 0; actor < world.actors.length; actor++) {
      if (!this.#isAwake(world, actor)) continue;
      const name = NAMES[actor]!;
      const idle = (ticks: number): number[] => world.idleUntil.with(actor, until + ticks);
      yield { ...world, faultsLeft, idleUntil: idle(PAUSE), trail: after(world, `${name} pauses`) };
      for (const ticks of AWAY) {
        yield {
          ...world,
          faultsLeft,
          actors: world.actors.with(actor, -1),
          stores: world.stores.with(actor, []),
          links: world.links.map((messages, link) =>
            LINKS[link]!.to === actor || LINKS[link]!.from === actor ? [] : messages,
          ),
          idleUntil: idle(ticks),
          trail: after(world, `${name} dies, for ${ticks}`),
        };
      }
    }
    for (let link = 0; link < LINKS.length; link++) {
      const { from, to, asks } = LINKS[link]!;
      if (from >= world.actors.length || to >= world.actors.length) continue;
      const name = `${NAMES[from]} → ${NAMES[to]}`;
      if (world.links[link]!.length > 0) {
        const links = world.links.with(link, world.links[link]!.slice(1));
        yield { ...world, faultsLeft, links, trail: after(world, `${name} loses a message`) };
      }
      if (!asks || world.cutUntil[3 * from + to]! > 0) continue;
      const cutUntil = world.cutUntil.with(3 * from + to, until + CUT);
      yield { ...world, faultsLeft, cutUntil, trail: after(world, `${name} is cut`) };
    }
  }

  // Steps

  #start(world: World, actor: number): World {
    const step = this.#actors.start(actor as Actor, this.#tick, world.records[actor]!);
    return this.#done(world, actor, step, 'starts');
  }

  #deliver(world: World, link: number): World {
    const { to, from, asks } = LINKS[link]!;
    const [message = 0, ...rest] = world.links[link]!;
    const links = world.links.with(link, rest);
    const state = world.actors[to]!;
    const step = this.#actors.hear(state, this.#tick, from, asks, Math.abs(message));
    return this.#done({ ...world, links }, to, step, this.#actors.messageOf(Math.abs(message)));
  }

  #expire(world: World, actor: number): World {
    return this.#done(world, actor, this.#actors.expire(world.actors[actor]!, this.#tick), 'timer');
  }

  /** The oldest write is on the disk, and its writer knows it. */
  #stored(world: World, actor: number): World {
    const [first, ...rest] = world.stores[actor]!;
    const [token, record] = first!;
    const stored = {
      ...world,
      records: world.records.with(actor, record),
      stores: world.stores.with(actor, rest),
    };
    const step = this.#actors.stored(world.actors[actor]!, this.#tick, token);
    return this.#done(stored, actor, step, 'has stored');
  }

  /** A client shows what it has seen, and sees what the server knows. */
  #ask(world: World, client: number, server: number): World {
    const shown = world.clients[client]!;
    const step = this.#actors.ask(world.actors[server]!, this.#tick, shown);
    const asked = this.#options.hasWitness ? 0 : world.asked | (1 << server);
    const told = this.#done({ ...world, asked }, server, step, `is asked by client ${client}`);
    const epoch = this.#epochOf(told, server);
    if (epoch > 0 && epoch < shown) {
      const message = `${NAMES[server]} serves under ${epoch} who has seen ${shown}`;
      this.#fail(told, 'epochs ascend', message);
    }
    const seen = epoch > 0 ? epoch : this.#actors.highest(told.actors[server]!);
    return { ...told, clients: world.clients.with(client, Math.max(shown, seen)) };
  }

  /** What a step gave is the world's. */
  #done(world: World, actor: number, step: Step, what: string): World {
    const links = world.links.map((messages, link) => {
      const { from, to, asks } = LINKS[link]!;
      const said = from === actor ? step.said.filter((it) => it.to === to && it.asks === asks) : [];
      return said.length === 0 ? messages : [...messages, ...said.map(({ message }) => message)];
    });
    const done: World = {
      ...world,
      actors: world.actors.with(actor, step.state),
      stores: world.stores.with(actor, [...world.stores[actor]!, ...step.stores]),
      links,
      highest: Math.max(world.highest, step.began),
      trail: after(world, `${NAMES[actor]}: ${what}`),
    };
    const stored = this.#actors.epochOfRecord(world.records[actor]!);
    if (step.used > stored) {
      this.#fail(
        done,
        'stored before use',
        `${NAMES[actor]} uses ${step.used} and keeps ${stored}`,
      );
    }
    if (step.began > 0 && step.began <= world.highest && this.#options.hasWitness) {
      const message = `${NAMES[actor]} serves under ${step.began}, after ${world.highest}`;
      this.#fail(done, 'epochs ascend', message);
    }
    return done;
  }

  // Without faults

  /** All that is under way arrives, in one order. */
  #calmTick(begun: World): World {
    let world = begun;
    for (;;) {
      const following = this.#nextCalm(world);
      if (following === undefined) break;
      world = following;
      this.#check(world);
    }
    const passed = this.#pass(world);
    this.#tick++;
    return passed;
  }

  #nextCalm(world: World): World | undefined {
    for (const following of this.#following(world)) return following;
    return undefined;
  }

  /** Left alone, one serves, and goes on to. */
  #settle(end: World): void {
    const tick = this.#tick;
    let world = end;
    let since = 0;
    let former = '';
    for (let ticks = 0; ticks < SETTLING && since < REST; ticks++) {
      world = this.#calmTick(world);
      const epochs = [this.#epochOf(world, 0), this.#epochOf(world, 1)];
      const now = epochs.join();
      since = now === former && epochs.filter((epoch) => epoch > 0).length === 1 ? since + 1 : 0;
      former = now;
    }
    this.#settled++;
    if (since < REST) this.#fail(world, 'settles', `after ${SETTLING} calm ticks: ${former}`);
    this.#tick = tick;
  }
}

/** From how many worlds it is tried whether one serves for good. */
const SAMPLES = 300;
