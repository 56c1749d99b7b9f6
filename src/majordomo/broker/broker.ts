/** The Majordomo broker: one ROUTER for peers of express, MDP 0.1 and 0.2, on any endpoints. */
import type { Election } from '../../core/election.ts';
import { ClosedError } from '../../core/errors.ts';
import { obey } from '../../core/obey.ts';
import { completeOptions } from '../../core/options.ts';
import { bindPort } from '../../transport/binding.ts';
import { drainAndClose, signal } from '../../transport/closing.ts';
import { Driver } from '../../transport/driver.ts';
import { checkEndpoint } from '../../transport/endpoint.ts';
import { systemEnvironment, type Environment } from '../../transport/environment.ts';
import { EventSource } from '../../transport/event-source.ts';
import type { BrokerEvent, BrokerStatus } from './broker-events.ts';
import { BrokerMachine, type BrokerCall, type BrokerPort } from './broker-machine.ts';
import type { BrokerInput, BrokerOutput } from '../wire/commands.ts';
import { brokerRules, type BrokerOptions } from '../options.ts';
import { brokerCodec } from '../wire/protocol.ts';

/**
 * Brings requests of clients to workers that offer the service, and replies back.
 *
 * ```js
 * const broker = new MajordomoBroker();
 * await broker.bind('tcp://127.0.0.1:5555');
 * ```
 *
 * Every accepted request ends in exactly one reply or error; a request whose worker is lost goes to
 * another one. Requests live in memory: they do not survive the broker (clients try again).
 */
export class MajordomoBroker extends EventSource<BrokerEvent> {
  readonly #environment: Environment;
  readonly #drainTimeout: number;
  readonly #driver: Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>;
  readonly #endpoints: string[] = [];
  readonly #drained = signal();
  readonly #failover: Election | undefined;
  readonly #ignoreFailover: (() => void) | undefined;
  #machine!: BrokerMachine;
  #closing: Promise<void> | undefined;

  /**
   * @param environment for tests: another transport, clock and randomness than the system's
   * @throws InvalidArgumentError naming the option that is unknown or out of range
   */
  constructor(options?: BrokerOptions, environment: Environment = systemEnvironment()) {
    const { logger, drainTimeout, peerQueueBytes, failover, ...settings } = completeOptions(
      'MajordomoBroker',
      brokerRules,
      options,
    );
    super(logger, {
      clientLost: 'info',
      clientReady: 'info',
      deadLetter: 'warn',
      dispatchLost: 'warn',
      followerLost: 'warn',
      followerSynchronised: 'info',
      malformed: 'warn',
      requestRefused: 'warn',
      synchronised: 'info',
      takeoverComplete: 'info',
      workerLost: 'info',
      workerReady: 'info',
      workerStalled: 'warn',
    });
    this.#environment = environment;
    this.#drainTimeout = drainTimeout;
    this.#driver = new Driver<BrokerPort, BrokerInput, BrokerOutput, BrokerCall, BrokerEvent>({
      machine: (outbox) =>
        (this.#machine = new BrokerMachine(outbox, {
          ...settings,
          random: environment.random,
          guard: failover,
        })),
      codec: brokerCodec,
      kindOf: (port) => (port === 'peers' ? 'router' : 'dealer'),
      transport: environment.transport,
      clock: environment.clock,
      peerQueueBytes,
      onEvent: (event) => this.#handleEvent(event),
    });
    this.#failover = failover;
    this.#ignoreFailover =
      failover && obey(failover, (call) => this.#driver.call(call), environment.clock);
  }

  /** The first endpoint it is bound to, with the real port; undefined before `bind`. */
  get endpoint(): string | undefined {
    return this.#endpoints[0];
  }

  /** All endpoints it is bound to. */
  get endpoints(): readonly string[] {
    return this.#endpoints;
  }

  /**
   * Binds to one more endpoint: `tcp://127.0.0.1:5555`, `tcp://127.0.0.1:*` for any free port,
   * `ipc:///path`, `inproc://name`. Resolves to the real one.
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`
   * @throws BindError `ERR_ADDRESS_IN_USE`, `ERR_BIND_FAILED`, naming the endpoint
   * @throws ClosedError
   */
  async bind(endpoint: string): Promise<string> {
    const checked = checkEndpoint(endpoint, 'bind');
    if (this.#closing !== undefined) throw new ClosedError('this broker');
    const bound = await bindPort(this.#driver, 'peers', checked);
    this.#endpoints.push(bound);
    this.#failover?.stand({ endpoint: this.endpoint });
    return bound;
  }

  /** What it is doing, and what it has seen since it began. */
  status(): BrokerStatus {
    return this.#machine.status();
  }

  /**
   * Takes nothing new, fails what is queued with `ERR_BROKER_CLOSING` (our clients then try again),
   * lets what runs finish within `drainTimeout`, and tells the workers goodbye. Whoever decides whether it
   * serves (`failover`) stays open: close that afterwards, and the other broker takes over.
   */
  close(): Promise<void> {
    this.#closing ??= this.#drainAndClose();
    return this.#closing;
  }

  async #drainAndClose(): Promise<void> {
    // Nobody is to be sent here any more.
    this.#failover?.stand({ endpoint: '' });
    const { clock } = this.#environment;
    await drainAndClose(this.#driver, clock, this.#drainTimeout, this.#drained.promise);
    this.#ignoreFailover?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #handleEvent(event: BrokerEvent): void {
    if (event.type === 'drained') this.#drained.fire();
    if (event.type === 'holds') this.#failover?.stand({ holds: event.epoch });
    if (event.type === 'alone') this.#failover?.stand({ alone: event.alone });
    this.announce(event);
  }
}
