/** Options of `EtcdElection`, what it tells, and what it shows of itself. */
import type { ElectionEvent, Epoch, StepDownReason } from '../core/election.ts';
import type { Logger } from '../core/logger.ts';
import { commonRules } from '../core/common-options.ts';
import { InvalidArgumentError } from '../core/errors.ts';
import { completeOptions, milliseconds, such, type Completed } from '../core/options.ts';
import { binaryStarRules, isPairName } from './options.ts';

/** What of `fetch` is used: give another one for client certificates or a proxy. */
export type EtcdFetch = (url: string, init: RequestInit) => ReturnType<typeof fetch>;

export interface EtcdElectionOptions {
  /** What this server is called: different from all others, and the same after a restart. 1 to 255 bytes. */
  readonly server: string;
  /** The election that it takes part in; others are of no concern. 1 to 255 bytes. Default `election`. */
  readonly name?: string | undefined;
  /** What all keys of this library begin with, in an etcd that others use too. Default `/unsinkable/`. */
  readonly prefix?: string | undefined;
  /** Where clients reach this server. Default: what the server that is guarded says. */
  readonly advertise?: string | undefined;
  /**
   * Milliseconds for which a lease holds, and so about how long nobody serves after an active one died.
   * Rounded up to seconds, and etcd makes it longer if it is below 1.5 of its election timeouts: 2
   * seconds, as it comes. Default 3,000, at most 60,000.
   */
  readonly lease?: number | undefined;
  /**
   * Milliseconds between two rounds, each of which renews the own lease and looks who has one. At most a
   * third of `lease`. Default 250.
   */
  readonly heartbeatInterval?: number | undefined;
  /** Milliseconds that one endpoint of etcd is given to answer before the next is asked. Default 500. */
  readonly timeout?: number | undefined;
  /** By how much the rates of two clocks may differ, as a share. Default 0.01, at most 0.2. */
  readonly clockDrift?: number | undefined;
  /** HTTP headers of every call, such as `Authorization`. Default none. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What speaks HTTP. Default: node's own. */
  readonly fetch?: EtcdFetch | undefined;
  /** Receives what happens, in pino's shape. Default: silence. */
  readonly logger?: Logger | undefined;
}

export type EtcdElectionEvent =
  | ElectionEvent
  /** No endpoint of etcd gave an answer to go by. Told once, until one does. */
  | { readonly type: 'etcdFailed'; readonly message: string }
  /** etcd answers: for the first time, or again. */
  | { readonly type: 'etcdFound' }
  /** Nobody serves, and it may not: the last active one has done things that it has not heard of. */
  | { readonly type: 'takeoverFailed'; readonly reason: 'notSynchronised' }
  /** Somebody showed an epoch that is too far ahead to be true. */
  | { readonly type: 'epochImplausible'; readonly epoch: Epoch };

/** What one server of an election is and knows. */
export interface EtcdElectionStatus {
  readonly name: string;
  readonly server: string;
  readonly state: 'waiting' | 'passive' | 'claiming' | 'active' | 'closed';
  /** 0 unless active. */
  readonly epoch: Epoch;
  readonly highestEpoch: Epoch;
  readonly etcd: 'unheard' | 'lost' | 'heard';
  /** The name of the one that serves; '' if nobody is known to. */
  readonly leader: string;
  /** Milliseconds that it may serve if its lease is not renewed. */
  readonly leaseLeft: number;
  readonly takeovers: number;
  readonly stepDowns: Readonly<Partial<Record<StepDownReason, number>>>;
}

/** The log level of each event. */
export const etcdLevels: Readonly<Partial<Record<EtcdElectionEvent['type'], keyof Logger>>> = {
  activeChanged: 'info',
  becameActive: 'info',
  becamePassive: 'info',
  epochImplausible: 'warn',
  etcdFailed: 'warn',
  etcdFound: 'info',
  servesAlone: 'warn',
  takeoverFailed: 'warn',
};

const SHORTEST_LEASE = 1000;

function isHeaders(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}

export const etcdElectionRules = {
  server: such<string | undefined>(undefined, 'text of 1 to 255 bytes', isPairName),
  name: such('election', 'text of 1 to 255 bytes', isPairName),
  prefix: such('/unsinkable/', 'text', (value) => typeof value === 'string'),
  advertise: binaryStarRules.advertise,
  lease: such(
    3000,
    `milliseconds, ${SHORTEST_LEASE} to 60000`,
    (value) => milliseconds(3000, SHORTEST_LEASE).accepts(value) && Number(value) <= 60_000,
  ),
  heartbeatInterval: milliseconds(250),
  timeout: milliseconds(500),
  clockDrift: binaryStarRules.clockDrift,
  headers: such<Readonly<Record<string, string>>>({}, 'an object of texts', isHeaders),
  fetch: such<EtcdFetch | undefined>(
    undefined,
    'a function like fetch',
    (value) => typeof value === 'function',
  ),
  logger: commonRules.logger,
};

/** Options with nothing left out. */
export type EtcdSettings = Completed<typeof etcdElectionRules> & { readonly server: string };

/** @throws InvalidArgumentError naming what is wrong */
export function completeSettings(options: EtcdElectionOptions): EtcdSettings {
  const settings = completeOptions('EtcdElection', etcdElectionRules, options);
  const { server, lease, heartbeatInterval } = settings;
  if (server === undefined) throw invalid("option 'server' is missing: what is this one called?");
  if (heartbeatInterval * 3 > lease) {
    throw invalid("option 'heartbeatInterval' must be at most a third of 'lease'");
  }
  return { ...settings, server };
}

function invalid(message: string): InvalidArgumentError {
  return new InvalidArgumentError('ERR_INVALID_OPTION', `EtcdElection: ${message}`);
}

/**
 * A client URL of etcd, without a slash at its end.
 * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
 */
export function checkUrl(endpoint: unknown): string {
  if (typeof endpoint === 'string' && URL.canParse(endpoint)) {
    const { protocol, origin, pathname } = new URL(endpoint);
    if (/^https?:$/.test(protocol)) return origin + pathname.replace(/\/$/, '');
  }
  const message = `endpoint '${String(endpoint)}' must be a URL of etcd, such as 'http://127.0.0.1:2379'`;
  throw new InvalidArgumentError('ERR_INVALID_ENDPOINT', message);
}
