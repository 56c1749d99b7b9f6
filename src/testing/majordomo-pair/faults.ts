/** How a fault that only a pair knows is done to a role. */
import { inflict as inflictMajordomo } from '../majordomo/faults.ts';
import { cutOff, isUp, kindOf, pause, restart, type Role } from '../roles.ts';
import { LONG_PAUSE, type PairFault, type Server } from './plan.ts';
import type { ServerRole } from './server-role.ts';
import type { PairStage } from './stage.ts';

/** Who is there besides the role that is hit. */
export interface Cast {
  /** Whom it has links to. */
  readonly peers: readonly Role[];
  readonly servers: readonly ServerRole[];
  readonly workers: readonly Role[];
  readonly clients: readonly Role[];
}

/** Milliseconds in which a client that hears nothing goes to the other broker, which takes over. */
const CHANGE = 600;

/** Does `fault` to `role`; false if there was nothing to do it to. */
export function inflict(stage: PairStage, fault: PairFault, role: Role, cast: Cast): boolean {
  const { peers, servers } = cast;
  if (!isUp(role)) return false;
  const { world } = stage;
  const { kind, duration, count } = fault;
  switch (kind) {
    case 'crashBoth':
      servers.forEach((server, index) => {
        server.process.crash();
        world.after(duration + index * 60 * count, () => restart(server));
      });
      return true;
    case 'longPause':
      pause(role, LONG_PAUSE);
      return true;
    case 'isolate':
      for (const peer of peers) cutOff(stage, role, peer, { duration });
      return true;
    case 'isolateOneWay':
      for (const peer of peers) {
        const [from, to] = count % 2 === 0 ? [role, peer] : [peer, role];
        cutOff(stage, from, to, { duration, oneWay: true });
      }
      return true;
    case 'storeFails':
      stage.storeOf(role.name).failNext(count);
      return kindOf(role) !== 'client' && kindOf(role) !== 'worker';
    case 'storeStalls': {
      const store = stage.storeOf(role.name);
      store.stall();
      world.after(duration, () => store.heal());
      return kindOf(role) !== 'client' && kindOf(role) !== 'worker';
    }
    case 'twoReigns':
      return twoReigns(stage, fault, cast);
    case 'crashCopying':
    case 'pauseCopying':
    case 'partitionCopying':
      return inflictCopying(stage, { ...fault, kind }, servers);
    default:
      return inflictMajordomo(stage, { ...fault, kind }, role, peers, []);
  }
}

type Copying = 'crashCopying' | 'pauseCopying' | 'partitionCopying';

/** Waits until one server copies what the other one has, and then hits that one, or the link between them. */
function inflictCopying(
  stage: PairStage,
  { kind, duration, count }: PairFault & { kind: Copying },
  servers: readonly ServerRole[],
): boolean {
  stage.whenCopying.push((name: Server) => {
    const follower = servers.find((server) => server.name === name)!;
    const active = servers.find((server) => server !== follower)!;
    const { latency } = stage.network.settings;
    stage.world.after(latency * count * stage.world.random(), () => {
      const target = count % 2 === 0 ? follower : active;
      if (stage.isHealed || !isUp(target)) return;
      stage.count(`${kind.replace('Copying', '')} × broker ${target.state}`);
      if (kind === 'crashCopying') {
        target.process.crash();
        stage.world.after(duration, () => restart(target));
      } else if (kind === 'pauseCopying') pause(target, duration);
      else cutOff(stage, follower, active, { duration });
    });
  });
  return true;
}

/**
 * The brokers do not hear each other, and a client that cannot reach the active one makes the other one
 * serve. Then either that client comes back to the first, from whom its workers have kept the news; or
 * workers hear both, and the first does not hear them.
 */
function twoReigns(stage: PairStage, { count }: PairFault, cast: Cast): boolean {
  const { servers, workers, clients } = cast;
  const active = servers.find(({ epoch }) => epoch > 0);
  const other = servers.find((server) => server !== active)!;
  const client = clients[count % clients.length]!;
  if (active === undefined || !isUp(other) || !isUp(client)) return false;
  const duration = 3 * CHANGE;
  cutOff(stage, active, other, { duration });
  cutOff(stage, client, active, { duration: CHANGE });
  const comesBack = count % 2 === 0;
  for (const worker of workers) {
    if (comesBack) cutOff(stage, worker, other, { duration });
    else cutOff(stage, worker, active, { duration, oneWay: true });
  }
  stage.world.after(CHANGE, () => {
    if (comesBack && !stage.isHealed) cutOff(stage, client, other, { duration: CHANGE });
  });
  return true;
}
