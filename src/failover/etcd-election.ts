/**
 * Leader election by etcd, for any number of servers: another way to decide who may serve.
 *
 * Whoever creates the key `leader` serves, for as long as the lease it is bound to is renewed. In rounds,
 * each server renews its lease if it has one, reads what etcd holds, decides (`etcd-decision.ts`), and
 * acts. A renewal counts from the instant at which it was asked for, and only if what was read after it
 * comes from the same term: a member that does not know yet that it leads etcd no more renews leases
 * which its successor lets end.
 */
import type { Election, ElectionEvent, Epoch, Standing, StepDownReason } from '../core/election.ts';
import { isPlausible } from '../core/election.ts';
import { ClosedError, InvalidArgumentError } from '../core/errors.ts';
import type { Instant } from '../core/machine.ts';
import { EventSource } from '../transport/event-source.ts';
import { systemClock } from '../transport/system-clock.ts';
import type { Clock } from '../transport/transport.ts';
import type { Verdict } from './binary-star.ts';
import { EtcdClient, type EtcdLease, type EtcdView } from './etcd-client.ts';
import {
  changeOf,
  decide,
  viewOf,
  type Decision,
  type ElectionView,
  type LastKey,
  type LeaderKey,
} from './etcd-decision.ts';
import { useEndsAt } from './lease.ts';
import {
  checkUrl,
  completeSettings,
  etcdLevels,
  type EtcdElectionEvent,
  type EtcdElectionOptions,
  type EtcdElectionStatus,
  type EtcdSettings,
} from './etcd-options.ts';

const NOBODY: LeaderKey = { server: '', epoch: 0, endpoint: '' };
const ELECTION_EVENTS = ['becameActive', 'becamePassive', 'activeChanged', 'servesAlone'] as const;

/**
 * Takes part in an election that an etcd decides.
 *
 * ```js
 * const election = new EtcdElection({ server: 'first' });
 * election.connect(['http://10.0.0.1:2379', 'http://10.0.0.2:2379', 'http://10.0.0.3:2379']);
 * const broker = new MajordomoBroker({ failover: election });
 * ```
 */
export class EtcdElection extends EventSource<EtcdElectionEvent> implements Election {
  readonly #settings: EtcdSettings;
  readonly #clock: Clock;
  #client: EtcdClient | undefined;
  #running: Promise<void> | undefined;
  #revoking: Promise<void> = Promise.resolve();
  #wake: () => void = () => undefined;
  #isWoken = false;
  #disarm: () => void = () => undefined;

  #state: EtcdElectionStatus['state'] = 'waiting';
  #etcd: EtcdElectionStatus['etcd'] = 'unheard';
  #lease: string | undefined;
  /** What the keys held when they were last read. */
  #values: EtcdView['values'] = new Map();
  #epoch: Epoch = 0;
  #servesUntil: Instant = -Infinity;
  #highest: Epoch = 0;
  #leader: LeaderKey = NOBODY;
  readonly #standing: { endpoint: string; holds: Epoch; alone: boolean };
  #isPromoted = false;
  #hasSaidAlone = false;
  #hasFailed = false;
  /** It resigned: others go first until then. */
  #restsUntil: Instant = -Infinity;
  #heardAt: Instant = -Infinity;
  #vacantSince: Instant | undefined;
  readonly #events: EtcdElectionEvent[] = [];
  #takeovers = 0;
  readonly #stepDowns: Partial<Record<StepDownReason, number>> = {};

  /**
   * @param clock for tests, another than the system's
   * @throws InvalidArgumentError naming what is wrong
   */
  constructor(options: EtcdElectionOptions, clock: Clock = systemClock) {
    const settings = completeSettings(options);
    super(settings.logger, etcdLevels);
    this.#settings = settings;
    this.#clock = clock;
    this.#standing = { endpoint: settings.advertise ?? '', holds: Infinity, alone: false };
  }

  /**
   * Begins to take part.
   * @param endpoints client URLs of one etcd cluster, such as `http://127.0.0.1:2379`
   * @throws InvalidArgumentError `ERR_INVALID_ENDPOINT`; ClosedError
   */
  connect(endpoints: string | readonly string[]): void {
    const checked = [endpoints].flat().map(checkUrl);
    if (this.#state === 'closed') throw new ClosedError('this election');
    if (checked.length === 0 || this.#client !== undefined) {
      const message = 'connect(): name all members of one etcd cluster, once';
      throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
    }
    const { name, prefix, timeout, headers, fetch } = this.#settings;
    this.#client = new EtcdClient({
      endpoints: checked,
      prefix: `${prefix}${encodeURIComponent(name)}/`,
      timeout,
      headers,
      fetch,
      clock: this.#clock,
    });
    this.#running = this.#run(this.#client);
  }

  // What a server asks and tells

  /**
   * What to do with a client.
   * @param request.epoch the highest epoch that the client has seen, if it says so
   */
  guard(request?: { readonly epoch?: Epoch | undefined }): Verdict {
    const [now, shown] = [this.#clock.now(), request?.epoch ?? 0];
    this.seen(now, shown);
    const epoch = this.epochAt(now);
    if (epoch > 0 && shown <= epoch) return { verdict: 'serve', epoch };
    const { highestEpoch: highest, activeEndpoint: endpoint } = this;
    return endpoint === ''
      ? { verdict: 'refuse', epoch: highest }
      : { verdict: 'redirect', epoch: highest, endpoint };
  }

  epochAt(now: Instant): Epoch {
    // Who asks may have been stopped since it looked at its clock.
    const isOver = Math.max(now, this.#clock.now()) >= this.#servesUntil;
    return this.#state === 'active' && !isOver ? this.#epoch : 0;
  }

  get highestEpoch(): Epoch {
    return this.#highest;
  }

  get activeEndpoint(): string {
    return this.#state === 'active' ? this.#standing.endpoint : this.#leader.endpoint;
  }

  seen(_now: Instant, epoch: Epoch): void {
    if (epoch <= this.#highest) return;
    if (!isPlausible(epoch, this.#highest)) {
      this.#tell({ type: 'epochImplausible', epoch });
      return;
    }
    this.#highest = epoch;
    if (this.#state === 'active' && this.#standing.holds < Infinity) this.#standing.holds = 0;
    this.#stepDown('higherEpoch');
  }

  /** Here clients have no vote. */
  asked(): void {}

  subscribe(listener: (event: ElectionEvent) => void): () => void {
    // One of its own, should the same function be given twice.
    const own = (event: ElectionEvent): void => listener(event);
    for (const type of ELECTION_EVENTS) this.on(type, own);
    return () => {
      for (const type of ELECTION_EVENTS) this.off(type, own);
    };
  }

  stand({ endpoint, holds, alone }: Standing): void {
    if (endpoint !== undefined && this.#settings.advertise === undefined) {
      this.#standing.endpoint = endpoint;
    }
    if (holds !== undefined) this.#standing.holds = holds;
    if (alone !== undefined) {
      this.#standing.alone = alone;
      this.#hasSaidAlone = false;
    }
    this.#hurry();
  }

  // What a person asks and tells

  /** Serve as soon as nobody else does, whatever is lost by that. Good for one takeover. */
  promote(): void {
    this.#isPromoted = true;
    this.#hurry();
  }

  /** Serve no more; others may, and have one lease to begin. */
  resign(): void {
    this.#restsUntil = this.#clock.now() + this.#settings.lease;
    this.#stepDown('resigned');
    this.#release();
  }

  /** What it is and knows. */
  status(): EtcdElectionStatus {
    const { name, server } = this.#settings;
    const now = this.#clock.now();
    return {
      name,
      server,
      state: this.#state,
      epoch: this.epochAt(now),
      highestEpoch: this.#highest,
      etcd: this.#etcd,
      leader: this.#leader.server,
      leaseLeft: this.#state === 'active' ? Math.max(0, this.#servesUntil - now) : 0,
      takeovers: this.#takeovers,
      stepDowns: { ...this.#stepDowns },
    };
  }

  /** Serves no more, gives its lease back if etcd answers, and takes no part from then on. */
  async close(): Promise<void> {
    this.#stepDown('resigned');
    this.#state = 'closed';
    this.#hurry();
    await this.#running;
    this.#release();
    await this.#revoking;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // Rounds

  async #run(client: EtcdClient): Promise<void> {
    while (!this.#isClosed) {
      this.#isWoken = false;
      const lease = this.#lease;
      try {
        if (await this.#round(client)) continue;
      } catch (error) {
        // One that was cut short by our own change of mind says nothing about etcd.
        if (lease === this.#lease) this.#handleFailure(error);
      }
      if (!this.#isWoken) await this.#pause();
    }
  }

  get #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** True if another one should follow at once. */
  async #round(client: EtcdClient): Promise<boolean> {
    const kept = await this.#keepLease(client);
    const read = await client.read();
    if (this.#isClosed) return false;
    const view = viewOf(read.values);
    this.#values = read.values;
    this.#handleView(view);
    const now = this.#clock.now();
    const decision = this.#decide(now, view);
    if (decision.type !== 'serve') this.#stepDown('leaseEnded');
    switch (decision.type) {
      case 'serve':
        // Of another term: see the file's header.
        if (kept?.id !== view.leader?.lease || kept?.term !== read.term) return false;
        return await this.#serve(client, kept, view);
      case 'claim':
        return now >= this.#restsUntil && this.#claim(client, decision.epoch);
      default:
        this.#standBy(decision);
        return false;
    }
  }

  #decide(now: Instant, view: ElectionView): Decision {
    return decide(now, view, {
      server: this.#settings.server,
      lease: this.#lease,
      holds: this.#standing.holds,
      highest: this.#highest,
      isPromoted: this.#isPromoted,
      patientUntil: (this.#vacantSince ?? now) + this.#settings.lease,
    });
  }

  async #keepLease(client: EtcdClient): Promise<EtcdLease | undefined> {
    const id = this.#lease;
    if (id === undefined) return undefined;
    const kept = await client.keepLease(id);
    if (id !== this.#lease) return undefined;
    if (kept.ttl > 0) return kept;
    this.#lease = undefined;
    return undefined;
  }

  /** The key is ours, and was after its lease had been renewed. */
  async #serve(client: EtcdClient, kept: EtcdLease, view: ElectionView): Promise<boolean> {
    const { clockDrift } = this.#settings;
    this.#servesUntil = useEndsAt(kept.sentAt, { lease: kept.ttl, clockDrift });
    if (this.#clock.now() >= this.#servesUntil) {
      this.#stepDown('leaseEnded');
      return false;
    }
    this.#disarm();
    this.#disarm = this.#clock.wakeAt(this.#servesUntil, () => this.#stepDown('leaseEnded'));
    if (this.#state !== 'active') this.#becomeActive(view.leader?.epoch ?? 0);
    const [{ alone, endpoint }, epoch] = [this.#standing, this.#epoch];
    if (view.last?.alone === alone && view.leader?.endpoint === endpoint) {
      if (alone && !this.#hasSaidAlone) this.#tell({ type: 'servesAlone', epoch });
      this.#hasSaidAlone = alone;
      return false;
    }
    return await this.#write(client, epoch, kept.id);
  }

  async #claim(client: EtcdClient, epoch: Epoch): Promise<boolean> {
    this.#state = 'claiming';
    if (this.#lease === undefined) {
      const { lease } = this.#settings;
      this.#lease = (await client.grantLease(Math.ceil(lease / 1000))).id;
      if (this.#isClosed || this.#clock.now() < this.#restsUntil) return true;
    }
    // What it does nobody else has, until a follower has caught up.
    this.#standing.alone ||= this.#standing.holds < Infinity;
    await this.#write(client, epoch, this.#lease);
    return true;
  }

  /** Writes both keys as they should be, if they are as they were. */
  async #write(client: EtcdClient, epoch: Epoch, lease: string): Promise<boolean> {
    const { server } = this.#settings;
    const { endpoint, alone } = this.#standing;
    return await client.change(changeOf(this.#values, { server, epoch, endpoint, alone, lease }));
  }

  // What comes of it

  #becomeActive(epoch: Epoch): void {
    this.#state = 'active';
    this.#epoch = epoch;
    this.#leader = { server: this.#settings.server, epoch, endpoint: this.#standing.endpoint };
    this.#isPromoted = false;
    this.#hasSaidAlone = false;
    this.#takeovers++;
    if (this.#standing.holds < Infinity) this.#standing.holds = epoch;
    this.#tell({ type: 'becameActive', epoch });
  }

  #stepDown(reason: StepDownReason): void {
    if (this.#state !== 'active') return;
    const epoch = this.#epoch;
    const { endpoint, alone } = this.#standing;
    this.#state = 'passive';
    this.#epoch = 0;
    this.#servesUntil = -Infinity;
    this.#disarm();
    this.#leader = NOBODY;
    this.#standing.alone = false;
    this.#stepDowns[reason] = (this.#stepDowns[reason] ?? 0) + 1;
    this.#tell({ type: 'becamePassive', epoch, reason });
    // Who may go on after it is known here, and perhaps not there yet.
    this.#release(reason === 'resigned' ? { epoch, endpoint, alone } : undefined);
  }

  /**
   * A reign that has ended is not taken up again: the next one has a lease and an epoch of its own.
   * @param last what is to stand in the keys when it ends
   */
  #release(last?: Pick<LeaderKey & LastKey, 'epoch' | 'endpoint' | 'alone'>): void {
    const [client, lease] = [this.#client, this.#lease];
    this.#lease = undefined;
    if (lease === undefined || client === undefined) return;
    const { server } = this.#settings;
    const change = last && changeOf(this.#values, { server, lease, ...last });
    const giveBack = async (): Promise<void> => {
      if (change !== undefined) await client.change(change);
      await client.revokeLease(lease);
    };
    // If that fails, it ends all the same, only later.
    this.#revoking = giveBack().catch(() => undefined);
  }

  #standBy(decision: Decision): void {
    this.#state = 'passive';
    this.#release();
    // Our own key, of a reign that has ended, leads nobody anywhere.
    const isOther = decision.type === 'follow' && decision.leader.server !== this.#settings.server;
    this.#follow(isOther ? decision.leader : NOBODY);
    const hasFailed = decision.type === 'standBack';
    if (hasFailed && !this.#hasFailed) {
      this.#tell({ type: 'takeoverFailed', reason: 'notSynchronised' });
    }
    this.#hasFailed = hasFailed;
  }

  #follow(leader: LeaderKey): void {
    const { epoch, endpoint } = this.#leader;
    this.#leader = leader;
    if (leader.epoch === epoch && leader.endpoint === endpoint) return;
    const known = leader.epoch || this.#highest;
    this.#tell({ type: 'activeChanged', epoch: known, endpoint: leader.endpoint });
  }

  #handleView({ leader, last }: ElectionView): void {
    const now = this.#clock.now();
    this.#heardAt = now;
    if (this.#etcd !== 'heard') this.#tell({ type: 'etcdFound' });
    this.#etcd = 'heard';
    this.#highest = Math.max(this.#highest, leader?.epoch ?? 0, last?.epoch ?? 0);
    this.#vacantSince = leader === undefined ? (this.#vacantSince ?? now) : undefined;
  }

  #handleFailure(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#etcd !== 'lost') this.#tell({ type: 'etcdFailed', message });
    this.#etcd = 'lost';
    const isOld = this.#clock.now() - this.#heardAt > this.#settings.lease;
    if (!isOld || this.#state === 'active') return;
    // Another may lead by now. And what we ask may arrive: we would keep a lease from others for ever.
    this.#follow(NOBODY);
    this.#release();
  }

  /** Tells when the turn ends: never from inside a call. */
  #tell(event: EtcdElectionEvent): void {
    if (this.#events.push(event) > 1) return;
    this.#clock.atTurnEnd(() => {
      for (const told of this.#events.splice(0)) this.announce(told);
    });
  }

  // Time

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const until = this.#clock.now() + this.#settings.heartbeatInterval;
      const disarm = this.#clock.wakeAt(until, resolve);
      this.#wake = () => {
        disarm();
        resolve();
      };
    });
  }

  /** Has the next round begin now. */
  #hurry(): void {
    this.#isWoken = true;
    this.#wake();
  }
}
