/** The faults that every pattern knows, as plans have them and as they are done to a role. */
import fc from 'fast-check';
import { cutOff, drainAndRestart, isUp, pause, restart, unshape, type Role } from './roles.ts';
import type { Stage } from './stage.ts';

export const COMMON_FAULTS = [
  'crash',
  'crashAfterEffects',
  'pause',
  'pauseBeforeSend',
  'stopReading',
  'partition',
  'oneWayPartition',
  'reset',
  'halfOpenReset',
  'drop',
  'slowLink',
  'narrowLink',
  'clockRate',
  'drain',
  'stop',
] as const;

export type CommonFault = (typeof COMMON_FAULTS)[number];

/** Plain data, as all of a plan. */
export interface PlannedFault<Kind extends string = string, Target extends string = string> {
  readonly at: number;
  readonly kind: Kind;
  readonly target: Target;
  readonly duration: number;
  /** Messages to drop, effects before a crash; and which of several peers. */
  readonly count: number;
}

/** How slow a slow link is. */
const SLOW = { latency: 60, jitter: 40, bandwidth: 20 };

/** As fast as ever for what is small: a large message takes most of a second. */
const NARROW = { bandwidth: 1600 };

/** Two to six faults. The kinds allowed in a plan are a random subset (swarm testing). */
export function faultPlans<Kind extends string, Target extends string>(
  kinds: readonly Kind[],
  targets: readonly Target[],
  until: number,
): fc.Arbitrary<PlannedFault<Kind, Target>[]> {
  // Indices instead of values: which kind one means depends on the subset.
  const raw = fc.record({
    at: fc.nat({ max: until }),
    kind: fc.nat({ max: 1000 }),
    target: fc.constantFrom<Target[]>(...targets),
    duration: fc.constantFrom(5, 40, 150, 400, 1200),
    count: fc.integer({ min: 1, max: 6 }),
  });
  return fc
    .record({
      allowed: fc.subarray([...kinds], { minLength: 2 }),
      faults: fc.array(raw, { minLength: 2, maxLength: 6, size: 'max' }),
    })
    .map(({ allowed, faults }) =>
      faults.map((fault) => ({ ...fault, kind: allowed[fault.kind % allowed.length]! })),
    );
}

/** The cells of the fault × state matrix that a suite demands. */
export function cellsOf(kinds: readonly string[], states: readonly string[]): string[] {
  return kinds.flatMap((kind) => states.map((state) => `${kind} × ${state}`));
}

/**
 * Does `fault` to `role`, or to its link to one of its `peers`; false if there was nothing to do it to.
 * Who is down is left alone.
 */
export function inflict(
  stage: Stage,
  fault: PlannedFault<CommonFault>,
  role: Role,
  peers: readonly Role[],
): boolean {
  if (!isUp(role)) return false;
  const { world } = stage;
  const { kind, duration, count } = fault;
  const { process } = role;
  switch (kind) {
    case 'crash':
      process.crash();
      world.after(duration, () => restart(role));
      return true;
    case 'crashAfterEffects':
      process.crashAfterEffects(count);
      world.after(duration + 200, () => restart(role));
      return true;
    case 'pause':
      pause(role, duration);
      return true;
    case 'pauseBeforeSend':
      process.pauseBeforeSend(duration);
      return true;
    case 'stopReading':
      process.stopReading(duration);
      return true;
    case 'clockRate':
      process.setRate(count % 2 === 0 ? 1.05 : 0.95);
      return true;
    case 'drain':
      drainAndRestart(stage, role, duration + 100, duration);
      return true;
    case 'stop':
      role.stop();
      world.after(duration, () => restart(role));
      return true;
    default:
      return inflictOnLink(stage, { ...fault, kind }, role, peers[count % peers.length]!);
  }
}

type LinkFault =
  'partition' | 'oneWayPartition' | 'reset' | 'halfOpenReset' | 'drop' | 'slowLink' | 'narrowLink';

function inflictOnLink(
  stage: Stage,
  { kind, duration, count }: PlannedFault<LinkFault>,
  role: Role,
  peer: Role,
): boolean {
  const { network } = stage;
  const [from, to] = count % 2 === 0 ? [role, peer] : [peer, role];
  switch (kind) {
    case 'partition':
      cutOff(stage, role, peer, { duration });
      return true;
    case 'oneWayPartition':
      cutOff(stage, from, to, { duration, oneWay: true });
      return true;
    case 'reset':
      return network.reset(role.name, peer.name) > 0;
    case 'halfOpenReset':
      return network.reset(role.name, peer.name, { halfOpen: true }) > 0;
    case 'drop':
      return network.drop(from.name, to.name, count) > 0;
    case 'slowLink':
      return reshape(stage, role.name, peer.name, SLOW, duration);
    case 'narrowLink':
      return reshape(stage, role.name, peer.name, NARROW, duration + 1000);
  }
}

function reshape(
  stage: Stage,
  a: string,
  b: string,
  change: Parameters<Stage['network']['shape']>[2],
  duration: number,
): true {
  stage.network.shape(a, b, change);
  stage.network.shape(b, a, change);
  stage.world.after(duration, () => unshape(stage, a, b));
  return true;
}
