/** How a fault that only Majordomo knows is done to a role. */
import { inflict as inflictCommon, type PlannedFault } from '../faults.ts';
import { drainAndRestart, isUp, kindOf, rollOver, type Role } from '../roles.ts';
import { LARGE, type FaultKind } from './plan.ts';
import { ANY, type MajordomoStage } from './stage.ts';

/** A role that may have a beacon beside it. */
export interface MajordomoRole extends Role {
  /** Its event loop stands still, and what speaks for it goes on; undefined: nothing does. */
  stall?(duration: number): void;
}

/** Milliseconds between two restarts of a rolling one. */
const ROLL = 150;

/** Faults that delay nothing. */
const CALM: ReadonlySet<FaultKind> = new Set(['drop', 'clockRate']);

/** Milliseconds that the effects of a fault may outlast it: reconnects, restarts, what was held back. */
const AFTERMATH = 500;

/** How long a link cannot be judged after `fault`, in milliseconds. */
function troubleOf({ plan }: MajordomoStage, { kind, duration }: PlannedFault<FaultKind>): number {
  if (CALM.has(kind)) return 0;
  const isLarge = plan.operations.some(({ size }) => size === LARGE);
  if (isLarge && kind === 'slowLink') return Infinity;
  return duration + AFTERMATH + (kind === 'narrowLink' ? 4 * AFTERMATH : 0);
}

/** Does `fault` to `role`; false if there was nothing to do it to. */
export function inflict(
  stage: MajordomoStage,
  fault: PlannedFault<FaultKind>,
  role: MajordomoRole,
  peers: readonly Role[],
  workers: readonly Role[],
): boolean {
  if (!isUp(role)) return false;
  const { world } = stage;
  const { kind, duration } = fault;
  stage.calmAt = Math.max(stage.calmAt, world.now + troubleOf(stage, fault));
  switch (kind) {
    case 'stall':
      if (role.stall === undefined) return false;
      role.stall(duration);
      return true;
    case 'resetInReply':
      stage.resetInReply.add(kindOf(role) === 'broker' ? ANY : role.name);
      return true;
    case 'drainAll':
      return drainAll(stage, workers.filter(isUp), duration);
    case 'drainInDispatch':
      return drainInDispatch(stage, role, duration);
    case 'rollingRestart': {
      const others = workers.filter((worker) => worker !== role);
      rollOver(stage, [...others, role], ROLL, duration + 500);
      return true;
    }
    default:
      return inflictCommon(stage, { ...fault, kind }, role, peers);
  }
}

/** A worker is drained while a request is on its way to it. */
function drainInDispatch(stage: MajordomoStage, role: Role, duration: number): boolean {
  const { world, network } = stage;
  stage.inDispatch.set(role.name, () => {
    world.after(network.settings.latency * world.random(), () => {
      if (stage.isHealed || !isUp(role)) return;
      stage.count('drainInDispatch');
      drainAndRestart(stage, role, duration + 100, duration);
    });
  });
  return kindOf(role) === 'worker';
}

/** A rolling stop of every worker at once, as when a deployment is taken down. */
function drainAll(stage: MajordomoStage, workers: readonly Role[], duration: number): boolean {
  for (const worker of workers) drainAndRestart(stage, worker, duration + 1500, 100);
  return workers.length > 0;
}
