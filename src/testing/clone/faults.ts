/** How the faults of this suite are done to a role. */
import { inflict as inflictCommon } from '../faults.ts';
import { cutOff, isUp, kindOf, pause, restart, type Role } from '../roles.ts';
import { LONG_PAUSE, type CloneFault } from './plan.ts';
import type { CloneStage } from './stage.ts';

/** How many times as long all takes on a slow disk. */
const SLOWNESS = 10;

/** Milliseconds that a lease is certainly over in. */
const OUTAGE = 600;

/** Milliseconds after which somebody rejoins although nothing is published. */
const PATIENCE = 400;

/** Does `fault` to `role`; false if there was nothing to do it to. */
export function inflict(
  stage: CloneStage,
  fault: CloneFault,
  role: Role,
  peers: readonly Role[],
  servers: readonly Role[],
): boolean {
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
    case 'cutDeciders': {
      const deciders = peers.filter((peer) => kindOf(peer) !== 'client');
      for (const peer of deciders) cutOff(stage, role, peer, { duration: duration + OUTAGE });
      return stage.isPair && kindOf(role) === 'server';
    }
    case 'rejoin':
      return kindOf(role) === 'client' && rejoin(stage, role);
    case 'midSnapshot':
      return hitLoading(stage, fault, [...servers, ...peers, role]);
    case 'storeFails':
      stage.storeOf(role.name).failNext(count);
      return stage.isPair && kindOf(role) !== 'client';
    case 'storeStalls':
      stage.storeOf(role.name).stall();
      world.after(duration, () => stage.storeOf(role.name).heal());
      return stage.isPair && kindOf(role) !== 'client';
    case 'diskFull':
    case 'failedFsync':
    case 'ioError':
    case 'slowDisk':
      return strikeDisk(stage, { ...fault, kind }, role);
    default:
      return inflictCommon(stage, { ...fault, kind }, role, peers);
  }
}

/** It is gone, and back in the instant in which something is published. */
function rejoin(stage: CloneStage, role: Role): true {
  const { world, network } = stage;
  role.process.crash();
  stage.whenPublishing.push(() => {
    world.after(3 * network.settings.latency * world.random(), () => restart(role));
  });
  world.after(PATIENCE, () => restart(role));
  return true;
}

/** As soon as somebody is sent a snapshot: one of the two dies, or the link between them does. */
function hitLoading(
  stage: CloneStage,
  { duration, count }: CloneFault,
  roles: readonly Role[],
): true {
  const { world, network } = stage;
  stage.whenLoading.push((name, to) => {
    const server = roles.find((role) => role.name === name);
    const loader = roles.find(({ process }) => process === to);
    world.after(count * network.settings.latency * world.random(), () => {
      if (stage.isHealed || server === undefined || loader === undefined || !isUp(server)) return;
      stage.count(`midSnapshot × ${kindOf(loader)} ${loader.state}`);
      if (count % 3 === 0) {
        server.process.crash();
        world.after(duration, () => restart(server));
      } else if (count % 3 === 1) cutOff(stage, server, loader, { duration });
      else network.reset(server.name, loader.name);
    });
  });
  return true;
}

function strikeDisk(
  stage: CloneStage,
  {
    kind,
    duration,
    count,
  }: CloneFault & { kind: 'diskFull' | 'failedFsync' | 'ioError' | 'slowDisk' },
  role: Role,
): boolean {
  if (!stage.plan.isStored || kindOf(role) !== 'server') return false;
  const disk = stage.diskOf(role.name);
  if (kind === 'diskFull') {
    disk.fill(100 * (count - 1));
    stage.world.after(duration + 100, () => disk.empty());
  } else if (kind === 'slowDisk') {
    disk.slow(SLOWNESS);
    stage.world.after(duration, () => disk.slow(1));
  } else disk.failNext(kind);
  return true;
}
