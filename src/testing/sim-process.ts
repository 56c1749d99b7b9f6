/**
 * One simulated operating-system process, and the clock that it sees.
 *
 * Everything a process does happens in a turn: a message, a timer or a call, followed by what asked
 * for `atTurnEnd`. That is where faults bite: a paused process (SIGSTOP) takes no turn, not even the
 * end of the one it is in; a crashed one (SIGKILL) never takes another.
 */
import type { Frames, Instant } from '../core/machine.ts';
import type { Clock } from '../transport/transport.ts';
import type { SimWorld } from './sim-world.ts';

export interface SimProcessOptions {
  /** How fast its clock runs: 1.01 gains ten milliseconds a second. Default 1. */
  readonly rate?: number;
  /** What its clock shows at the start, in milliseconds. Default 0. */
  readonly clockStart?: Instant;
  /** Extra delay of each timer in milliseconds, drawn when it is set. Default none. */
  readonly lateness?: () => number;
}

/** Something that waits to be read: a message or a notice. */
export interface Arrival {
  /** Called in a turn of the receiving process. */
  deliver(): void;
  /** Called instead if that process crashed before. */
  abandon(): void;
}

/** What belongs to a process and has to know its fate: its sockets, its disk. */
export interface ProcessWatcher {
  processCrashed(process: SimProcess): void;
  processExited(process: SimProcess): void;
  processResumed(process: SimProcess): void;
}

interface Timer {
  readonly at: Instant;
  readonly callback: () => void;
  readonly isLate: boolean;
  isCancelled: boolean;
}

/** What overwrites frames that were borrowed until the turn ended. */
const POISON = 0xdb;

/** Larger frames own their memory and may be kept (`keepFrames`): they are not overwritten. */
export const POISON_LIMIT = 8 * 1024;

/** How often a turn goes on with the next message, if several are at hand. */
const SAME_TURN = 0.5;

export class SimProcess implements Clock {
  readonly name: string;
  readonly #world: SimWorld;
  readonly #watchers: ProcessWatcher[] = [];
  readonly #lateness: (() => number) | undefined;
  #state: 'running' | 'paused' | 'exited' | 'crashed' = 'running';
  #pausedUntil: Instant = -Infinity;
  #unreadUntil: Instant = -Infinity;
  #inTurn = false;
  #turnEnds: (() => void)[] = [];
  #lent: Frames[] = [];
  readonly #inbox: Arrival[] = [];
  #held: (() => void)[] = [];
  #effectsLeft = Infinity;
  #pauseBeforeSend: number | undefined;
  // The clock: what it showed at an instant of the world, and how fast it has run since.
  #rate: number;
  #shown: Instant;
  #since: Instant;
  #latest: Instant = -Infinity;

  constructor(world: SimWorld, name: string, options: SimProcessOptions) {
    this.#world = world;
    this.name = name;
    this.#rate = options.rate ?? 1;
    this.#shown = options.clockStart ?? 0;
    this.#since = world.now;
    this.#lateness = options.lateness;
  }

  get isRunning(): boolean {
    return this.#state === 'running';
  }

  get isCrashed(): boolean {
    return this.#state === 'crashed';
  }

  /** It has ended in order: its name is free, and what its closed sockets hold still leaves. */
  get hasExited(): boolean {
    return this.#state === 'exited';
  }

  /** It has crashed or exited: no more turns. */
  get isOver(): boolean {
    return this.#state === 'crashed' || this.#state === 'exited';
  }

  /** Its sockets can write: it runs, or it has exited and they linger. */
  get canWrite(): boolean {
    return this.#state === 'running' || this.#state === 'exited';
  }

  /** What was received and is not read yet. */
  get unread(): readonly Arrival[] {
    return this.#inbox;
  }

  /** Tells `watcher` when this process crashes or resumes. */
  watch(watcher: ProcessWatcher): void {
    if (!this.#watchers.includes(watcher)) this.#watchers.push(watcher);
  }

  // The clock

  now(): Instant {
    const shown = this.#shown + (this.#world.now - this.#since) * this.#rate;
    // Rounding must not show a timer an instant before the one it was set for, nor time going back.
    if (shown > this.#latest) this.#latest = shown;
    return this.#latest;
  }

  wakeAt(at: Instant, callback: () => void): () => void {
    const late = this.#lateness?.() ?? 0;
    const timer: Timer = { at, callback, isLate: late > 0, isCancelled: false };
    const due = this.#worldInstant(at) + late;
    if (due === Infinity) return () => undefined;
    const event = this.#world.schedule(due, () => this.#timerDue(timer));
    return () => {
      timer.isCancelled = true;
      event.cancel();
    };
  }

  atTurnEnd(callback: () => void): void {
    if (this.isOver) return;
    this.#turnEnds.push(callback);
    if (this.#inTurn || this.#turnEnds.length > 1) return;
    this.#world.schedule(this.#world.now, () => this.#finishTurn());
  }

  /** From now on the clock runs `rate` times as fast as the world's. */
  setRate(rate: number): void {
    this.#shown = this.now();
    this.#since = this.#world.now;
    this.#rate = rate;
    this.#world.note(`${this.name}'s clock now runs at ${rate}`);
  }

  #worldInstant(at: Instant): Instant {
    return this.#since + (at - this.#shown) / this.#rate;
  }

  #timerDue(timer: Timer): void {
    if (timer.isCancelled || this.isOver) return;
    const due = this.#worldInstant(timer.at);
    if (due > this.#world.now + 1e-6) {
      // The clock was slowed down meanwhile.
      this.#world.schedule(due, () => this.#timerDue(timer));
      return;
    }
    this.run(() => {
      if (timer.isCancelled) return;
      if (timer.at > this.#latest) this.#latest = timer.at;
      if (timer.isLate) this.#world.effects.lateTimer++;
      timer.callback();
    });
  }

  // Turns

  /** Runs `work` as a turn of this process: later while it is paused, never once it has crashed. */
  run(work: () => void): void {
    if (this.isOver) return;
    if (this.#inTurn) return work();
    if (this.#state === 'paused' || this.#held.length > 0) {
      if (this.#state === 'paused') this.#world.effects.pausedTimer++;
      this.#held.push(work);
      return;
    }
    this.#inTurn = true;
    work();
    this.#endTurn();
  }

  /** Hands over what arrived, or keeps it while this process does not read. For networks. */
  receive(arrival: Arrival): void {
    if (this.isCrashed) return arrival.abandon();
    // What an exited process still receives ends in its closed sockets.
    if (this.isOver) return arrival.deliver();
    if (this.#canRead && this.#inbox.length === 0) {
      this.#inTurn = true;
      arrival.deliver();
      this.#endTurn();
      return;
    }
    if (this.#state === 'paused') this.#world.effects.pausedDelivery++;
    else this.#world.effects.unreadDelivery++;
    this.#inbox.push(arrival);
  }

  /** These frames are overwritten when the turn is over, up to `POISON_LIMIT`. For networks. */
  lend(frames: Frames): void {
    this.#lent.push(frames);
  }

  get #canRead(): boolean {
    return this.#state === 'running' && this.#world.now >= this.#unreadUntil;
  }

  #finishTurn(): void {
    if (this.#state !== 'running' || this.#turnEnds.length === 0) return;
    this.#inTurn = true;
    this.#endTurn();
  }

  #endTurn(): void {
    if (this.#pauseBeforeSend !== undefined && this.#turnEnds.length > 0) {
      const duration = this.#pauseBeforeSend;
      this.#pauseBeforeSend = undefined;
      this.#world.effects.pausedBeforeSend++;
      this.pause(duration);
    }
    while (this.#state === 'running') {
      const callback = this.#turnEnds.shift();
      if (callback === undefined) break;
      callback();
    }
    this.#inTurn = false;
    // A turn whose end is held back by a pause still needs what it borrowed.
    if (this.#lent.length > 0 && this.#turnEnds.length === 0) this.#poison();
  }

  #poison(): void {
    for (const frames of this.#lent) {
      for (const frame of frames) if (frame.length <= POISON_LIMIT) frame.fill(POISON);
    }
    this.#lent.length = 0;
  }

  // Pauses

  /** SIGSTOP: no turn is taken until `resume`, or for `duration` milliseconds. */
  pause(duration = Infinity): void {
    if (this.isOver) return;
    this.#world.note(`${this.name} pauses`);
    this.#state = 'paused';
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#world.now + duration);
    if (duration === Infinity) return;
    this.#world.after(duration, () => {
      if (this.#world.now >= this.#pausedUntil) this.resume();
    });
  }

  /** Pauses between the next decision and its sends: they leave only after the pause. */
  pauseBeforeSend(duration = Infinity): void {
    this.#pauseBeforeSend = duration;
  }

  /** Takes back a `pauseBeforeSend` that has not happened yet. */
  sendWithoutPause(): void {
    this.#pauseBeforeSend = undefined;
  }

  /**
   * SIGCONT: what a pause interrupted is finished, then what was held back happens in its order,
   * timers first or messages first at random.
   */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.#world.note(`${this.name} resumes`);
    this.#state = 'running';
    this.#pausedUntil = -Infinity;
    this.#world.schedule(this.#world.now, () => {
      this.#finishTurn();
      this.#catchUp();
      if (this.#state !== 'running') return;
      for (const watcher of this.#watchers) watcher.processResumed(this);
    });
  }

  /** Does not read for a while, as a blocked handler or a slow peer; timers still fire. */
  stopReading(duration: number): void {
    this.#world.note(`${this.name} stops reading for ${duration} ms`);
    this.#unreadUntil = Math.max(this.#unreadUntil, this.#world.now + duration);
    this.#world.schedule(this.#unreadUntil, () => this.#readAll());
  }

  /** Ends `stopReading` at once. */
  startReading(): void {
    this.#unreadUntil = this.#world.now;
    this.#world.schedule(this.#world.now, () => this.#readAll());
  }

  #catchUp(): void {
    const timersFirst = this.#world.random() < 0.5;
    if (timersFirst) this.#runHeld();
    this.#readAll();
    if (!timersFirst) this.#runHeld();
  }

  #runHeld(): void {
    while (this.#state === 'running') {
      const work = this.#held.shift();
      if (work === undefined) return;
      this.#inTurn = true;
      work();
      this.#endTurn();
    }
  }

  #readAll(): void {
    while (this.#canRead && this.#inbox.length > 0) {
      this.#inTurn = true;
      do {
        this.#inbox.shift()?.deliver();
      } while (this.#canRead && this.#inbox.length > 0 && this.#world.random() < SAME_TURN);
      this.#endTurn();
    }
  }

  // Death

  /** SIGKILL: it never takes another turn, its sockets die, its name is free. */
  crash(): void {
    if (this.isCrashed) return;
    this.#state = 'crashed';
    this.#world.effects.crashed++;
    this.#world.note(`${this.name} crashes`);
    this.#forgetTurns();
    for (const watcher of this.#watchers) watcher.processCrashed(this);
    for (const arrival of this.#inbox.splice(0)) arrival.abandon();
  }

  /**
   * A graceful end: it takes no more turns, its open sockets close without linger, and those closed
   * before still linger. Its name is free.
   */
  exit(): void {
    if (this.isOver) return;
    this.#state = 'exited';
    this.#world.note(`${this.name} exits`);
    this.#forgetTurns();
    for (const watcher of this.#watchers) watcher.processExited(this);
    for (const arrival of this.#inbox.splice(0)) arrival.deliver();
  }

  #forgetTurns(): void {
    this.#turnEnds = [];
    this.#held = [];
    this.#lent = [];
  }

  /**
   * Crashes once `count` more effects (accepted sends, stores) have left, before anything else does.
   * Zero: when the next one is about to leave.
   */
  crashAfterEffects(count: number): void {
    this.#effectsLeft = count;
  }

  /** True if one more effect may leave. For networks and disks: false means that it never happens. */
  spendEffect(): boolean {
    if (this.isOver) return false;
    if (this.#effectsLeft === 0) {
      this.#crashAfterLast();
      return false;
    }
    this.#effectsLeft--;
    if (this.#effectsLeft === 0) {
      // Unless it was spared meanwhile: a turn that is paused ends when its process goes on.
      this.atTurnEnd(() => {
        if (this.#effectsLeft === 0) this.#crashAfterLast();
      });
    }
    return true;
  }

  #crashAfterLast(): void {
    this.#world.effects.crashedAfterEffects++;
    this.crash();
  }
}
