/** What the options of one of a pair come to, and what is to be told of it before it has begun. */
import { InvalidArgumentError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { completeOptions, type Completed } from '../core/options.ts';
import type { Role } from './commands.ts';
import type { PairEvent, PairStatus } from './failover-events.ts';
import { binaryStarRules, type BinaryStarOptions } from './options.ts';
import { isEndpoint } from './protocol.ts';

/** Options with nothing left out that must be there. */
export interface StarSettings extends Completed<typeof binaryStarRules> {
  readonly role: Role;
  readonly peer: string;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
}

/** The log level of each event. */
export const starLevels: Readonly<Partial<Record<PairEvent['type'], keyof Logger>>> = {
  activeChanged: 'info',
  becameActive: 'info',
  becamePassive: 'info',
  epochImplausible: 'warn',
  malformed: 'warn',
  peerFound: 'info',
  peerLost: 'info',
  servesAlone: 'warn',
  storeFailed: 'warn',
  takeoverBegun: 'info',
  takeoverFailed: 'warn',
  wasStopped: 'warn',
  witnessFound: 'info',
  witnessLost: 'info',
};

/** What stock peers have. */
const STOCK_HEARTBEATS = { heartbeatInterval: 1000, heartbeatLiveness: 2 };
const OWN_HEARTBEATS = { heartbeatInterval: 250, heartbeatLiveness: 4 };

/**
 * Whether its endpoints can be connected to, the shell has to find out.
 * @throws InvalidArgumentError naming what is wrong
 */
export function starSettingsOf(options: BinaryStarOptions): StarSettings {
  const settings = completeOptions('BinaryStar', binaryStarRules, options);
  const { role, peer, witness, protocol, advertise } = settings;
  if (role === undefined) throw invalid("'role' is missing: it is 'primary' or 'backup'");
  if (peer === undefined) {
    throw invalid("'peer' is missing: it is the endpoint at which the other one is bound");
  }
  if (advertise !== undefined && !isEndpoint(advertise)) {
    throw invalid("'advertise' is longer than 255 bytes: shorten it");
  }
  if (witness === peer) throw invalid("'witness' must be a third process, not the 'peer'");
  if (protocol === 'stock' && witness !== undefined) {
    throw invalid("'witness' is not for the protocol 'stock', in which clients vote: leave it out");
  }
  const byDefault = protocol === 'stock' ? STOCK_HEARTBEATS : OWN_HEARTBEATS;
  const {
    heartbeatInterval = byDefault.heartbeatInterval,
    heartbeatLiveness = byDefault.heartbeatLiveness,
  } = settings;
  return { ...settings, role, peer, heartbeatInterval, heartbeatLiveness };
}

/** While the machine is not there yet. */
export function statusBefore({ name, role, witness }: StarSettings): PairStatus {
  return {
    pair: name,
    role,
    state: 'waiting',
    epoch: 0,
    highestEpoch: 0,
    life: 0,
    peer: 'unheard',
    witness: witness === undefined ? 'none' : 'lost',
    leaseLeft: witness === undefined ? Infinity : 0,
    takeovers: 0,
    stepDowns: {},
    events: {},
  };
}

/** @param message begins with the name of the option, in quotes */
export function invalid(message: string): InvalidArgumentError {
  return new InvalidArgumentError('ERR_INVALID_OPTION', `BinaryStar: option ${message}`);
}
