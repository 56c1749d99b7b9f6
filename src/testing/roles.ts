/**
 * The roles of a simulated run, whatever the pattern: each is a process that dies and starts again, and
 * whose machine can be asked to end.
 */
import type { PartitionOptions } from './sim-network.ts';
import type { SimProcess } from './sim-process.ts';
import type { Stage } from './stage.ts';

/** What all roles have in common. */
export interface Role {
  /** Its kind, or its kind and a number: `broker`, `worker-1`. */
  readonly name: string;
  /** The present one. */
  readonly process: SimProcess;
  /** In a word, for the fault × state matrix. */
  readonly state: string;
  /** It was asked to end, and has not ended yet. */
  readonly isDraining: boolean;
  /** Names of other processes on its host. */
  readonly companions?: readonly string[];
  /** Starts the next incarnation, which remembers nothing. */
  start(): void;
  /** Asks for a graceful end. */
  drain(): void;
  /** Ends at once, but in order. */
  stop(): void;
  /** All of it stands still, if that is more than its process. */
  pause?(duration: number): void;
}

/** `worker` of `worker-1`. */
export function kindOf({ name }: Role): string {
  return name.split('-', 1)[0]!;
}

/** True if the process of `role` neither died nor ended. */
export function isUp(role: Role): boolean {
  return !role.process.isOver;
}

/** Starts the next incarnation of a role that is down. */
export function restart(role: Role): void {
  if (!isUp(role)) role.start();
}

/** All of a role stands still. */
export function pause(role: Role, duration = Infinity): void {
  if (role.pause === undefined) role.process.pause(duration);
  else role.pause(duration);
}

/** Asks for a graceful end, which must have come after `patience`, and restarts after a `rest`. */
export function drainAndRestart(stage: Stage, role: Role, patience: number, rest: number): void {
  const { process } = role;
  role.drain();
  stage.world.after(patience, () => {
    if (role.process !== process) return;
    role.stop();
    stage.world.after(rest, () => restart(role));
  });
}

/** Drains and restarts these, one after the other, each `pace` milliseconds after the one before. */
export function rollOver(
  stage: Stage,
  roles: readonly Role[],
  pace: number,
  patience: number,
): void {
  roles.forEach((role, index) => {
    stage.world.after(index * pace, () => {
      if (isUp(role) && !stage.isHealed) drainAndRestart(stage, role, patience, 20);
    });
  });
}

/** Partitions the hosts of two roles. */
export function cutOff(stage: Stage, from: Role, to: Role, options: PartitionOptions): void {
  for (const name of hostOf(from)) {
    for (const other of hostOf(to)) stage.network.partition(name, other, options);
  }
}

/** The links between two roles are as the plan has them. */
export function unshape({ network }: Stage, a: string, b: string): void {
  const { latency, jitter, bandwidth } = network.settings;
  network.shape(a, b, { latency, jitter, bandwidth });
  network.shape(b, a, { latency, jitter, bandwidth });
}

/** Takes back what was done to a role and its links to `peers`, so that it can be of the viable core. */
export function heal(stage: Stage, role: Role, peers: readonly Role[]): void {
  const { process } = role;
  if (isUp(role) && role.isDraining) process.crash();
  if (isUp(role)) {
    process.crashAfterEffects(Infinity);
    process.sendWithoutPause();
    process.resume();
    process.startReading();
  }
  restart(role);
  for (const peer of peers) unshape(stage, role.name, peer.name);
}

/** Breaks a role for ever, one way or another, or leaves it as it is. */
export function breakForEver(stage: Stage, role: Role, peers: readonly Role[]): void {
  const fate = stage.world.random();
  if (fate < 0.3) role.process.crash();
  else if (fate < 0.6) pause(role);
  else if (fate < 0.8) {
    for (const peer of peers) cutOff(stage, role, peer, { oneWay: fate < 0.7 });
  }
}

function hostOf({ name, companions = [] }: Role): readonly string[] {
  return [name, ...companions];
}
