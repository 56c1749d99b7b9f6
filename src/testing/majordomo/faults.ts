/** How a planned fault is done to a role, and how it is undone when the core is healed. */
import type { PartitionOptions, SimNetwork } from '../sim-network.ts';
import type { SimProcess } from '../sim-process.ts';
import { LARGE, type FaultKind, type PlannedFault } from './plan.ts';
import { ANY, type Stage } from './stage.ts';

/** What all roles have in common. */
export interface Role {
  readonly name: string;
  readonly process: SimProcess;
  readonly state: string;
  /** It was asked to end, and has not ended yet. */
  readonly isDraining: boolean;
  start(): void;
  drain(): void;
  stop(): void;
  /** All of it stands still, if that is more than its process. */
  pause?(duration: number): void;
  /** Its event loop stands still, and what speaks for it goes on; undefined: nothing does. */
  stall?(duration: number): void;
}

/** How slow a slow link is. */
const SLOW = { latency: 60, jitter: 40, bandwidth: 20 };

/** As fast as ever for what is small: a large message takes most of a second. */
const NARROW = { bandwidth: 1600 };

/** Milliseconds between two restarts of a rolling one. */
const ROLL = 150;

/** True if the process of `role` neither died nor ended. */
export function isUp(role: Role): boolean {
  return !role.process.isOver;
}

/** Starts the next incarnation of a role that is down. */
export function restart(role: Role): void {
  if (!isUp(role)) role.start();
}

/** Faults that delay nothing. */
const CALM: ReadonlySet<FaultKind> = new Set(['drop', 'clockRate']);

/** Milliseconds that the effects of a fault may outlast it: reconnects, restarts, what was held back. */
const AFTERMATH = 500;

/** How long a link cannot be judged after `fault`, in milliseconds. */
function troubleOf({ plan }: Stage, { kind, duration }: PlannedFault): number {
  if (CALM.has(kind)) return 0;
  const isLarge = plan.operations.some(({ size }) => size === LARGE);
  if (isLarge && kind === 'slowLink') return Infinity;
  return duration + AFTERMATH + (kind === 'narrowLink' ? 4 * AFTERMATH : 0);
}

/** Does `fault` to `role`; false if there was nothing to do it to. */
export function inflict(
  stage: Stage,
  fault: PlannedFault,
  role: Role,
  others: readonly Role[],
): boolean {
  const { world, network } = stage;
  const { kind, duration, count } = fault;
  const { process, name } = role;
  if (!isUp(role)) return false;
  stage.calmAt = Math.max(stage.calmAt, world.now + troubleOf(stage, fault));
  const peer = name === 'broker' ? others[count % others.length]!.name : 'broker';
  const restartLater = (target: Role): void => {
    world.after(duration, () => restart(target));
  };
  switch (kind) {
    case 'crash':
      process.crash();
      restartLater(role);
      return true;
    case 'crashAfterEffects':
      process.crashAfterEffects(count);
      world.after(duration + 200, () => restart(role));
      return true;
    case 'pause':
      pause(role, duration);
      return true;
    case 'stall':
      if (role.stall === undefined) return false;
      role.stall(duration);
      return true;
    case 'pauseBeforeSend':
      process.pauseBeforeSend(duration);
      return true;
    case 'stopReading':
      process.stopReading(duration);
      return true;
    case 'partition':
      cutOff(network, name, peer, { duration });
      return true;
    case 'oneWayPartition':
      if (count % 2 === 0) cutOff(network, name, peer, { duration, oneWay: true });
      else cutOff(network, peer, name, { duration, oneWay: true });
      return true;
    case 'reset':
      return network.reset(name, peer) > 0;
    case 'halfOpenReset':
      return network.reset(name, peer, { halfOpen: true }) > 0;
    case 'resetInReply':
      stage.resetInReply.add(name === 'broker' ? ANY : name);
      return true;
    case 'drop':
      return count % 2 === 0
        ? network.drop(name, peer, count) > 0
        : network.drop(peer, name, count) > 0;
    case 'slowLink':
      network.shape(name, peer, SLOW);
      network.shape(peer, name, SLOW);
      world.after(duration, () => unshape(stage, name, peer));
      return true;
    case 'narrowLink':
      network.shape(name, peer, NARROW);
      network.shape(peer, name, NARROW);
      world.after(duration + 1000, () => unshape(stage, name, peer));
      return true;
    case 'clockRate':
      process.setRate(count % 2 === 0 ? 1.05 : 0.95);
      return true;
    case 'drain':
      drainAndRestart(stage, role, duration + 100, duration);
      return true;
    case 'drainAll':
      return drainWorkers(stage, others, duration);
    case 'drainInDispatch':
      stage.inDispatch.set(name, () => {
        world.after(network.settings.latency * world.random(), () => {
          if (stage.isHealed || !isUp(role)) return;
          stage.count('drainInDispatch');
          drainAndRestart(stage, role, duration + 100, duration);
        });
      });
      return name.startsWith('worker');
    case 'stop':
      role.stop();
      restartLater(role);
      return true;
    case 'rollingRestart':
      return rollOver(stage, role, others, duration);
  }
}

/** Partitions two hosts: a worker's beacon is where the worker is. */
export function cutOff(
  network: SimNetwork,
  from: string,
  to: string,
  options: PartitionOptions,
): void {
  network.partition(from, to, options);
  if (from.startsWith('worker')) network.partition(`${from}-beacon`, to, options);
  if (to.startsWith('worker')) network.partition(from, `${to}-beacon`, options);
}

/** All of a role stands still. */
export function pause(role: Role, duration = Infinity): void {
  if (role.pause === undefined) role.process.pause(duration);
  else role.pause(duration);
}

/** Every worker is drained and restarted, one after the other, and then the target. */
function rollOver(stage: Stage, role: Role, others: readonly Role[], duration: number): boolean {
  const workers = others.filter((other) => other.name.startsWith('worker') && other !== role);
  [...workers, role].forEach((next, index) => {
    stage.world.after(index * ROLL, () => {
      if (isUp(next) && !stage.isHealed) drainAndRestart(stage, next, duration + 500, 20);
    });
  });
  return true;
}

/** A rolling stop of every worker at once, as when a deployment is taken down. */
function drainWorkers(stage: Stage, others: readonly Role[], duration: number): boolean {
  const workers = others.filter((role) => role.name.startsWith('worker') && isUp(role));
  for (const worker of workers) drainAndRestart(stage, worker, duration + 1500, 100);
  return workers.length > 0;
}

/** Asks for a graceful end, which must have come after `patience`, and restarts after a `rest`. */
function drainAndRestart(stage: Stage, role: Role, patience: number, rest: number): void {
  const { process } = role;
  role.drain();
  stage.world.after(patience, () => {
    if (role.process !== process) return;
    role.stop();
    stage.world.after(rest, () => restart(role));
  });
}

function unshape(stage: Stage, a: string, b: string): void {
  const { latency, jitter, bandwidth } = stage.network.settings;
  stage.network.shape(a, b, { latency, jitter, bandwidth });
  stage.network.shape(b, a, { latency, jitter, bandwidth });
}

/** Takes back what was done to a role, so that it can take part in the viable core. */
export function heal(stage: Stage, role: Role): void {
  const { process } = role;
  if (isUp(role) && role.isDraining) process.crash();
  if (isUp(role)) {
    process.crashAfterEffects(Infinity);
    process.resume();
    process.startReading();
  }
  restart(role);
  if (role.name !== 'broker') unshape(stage, role.name, 'broker');
}
