/**
 * A broker that is one of several: when it serves and when not, what it says about that, and what the
 * other one and the workers tell it. All that a broker does only with `failover` begins here.
 */
import type { Epoch } from '../../core/election.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { StandingCall } from '../../core/obey.ts';
import type {
  BrokerInput,
  FinishedCommand,
  FollowCommand,
  FollowerInput,
  ReportCommand,
} from '../wire/commands.ts';
import type { FailoverStatus } from './broker-events.ts';
import type { ClientTable } from './clients.ts';
import type { Dispatcher } from './dispatcher.ts';
import { isLasting, type KeyBook } from './idempotency.ts';
import type { Pair } from './pair.ts';
import type { RequestEnds } from './request-ends.ts';
import { clientOf, type RequestBook } from './requests.ts';
import type { SessionTable } from './sessions.ts';
import { parkedLineOf } from './takeover.ts';
import type { Voice } from './voice.ts';
import type { WorkerDesk } from './worker-desk.ts';

/** What a broker knows, as far as it concerns others of its kind. */
export interface Tables {
  readonly requests: RequestBook;
  readonly clients: ClientTable;
  readonly sessions: SessionTable;
  readonly keys: KeyBook;
}

export interface PairDeskSettings extends HeartbeatSettings {
  readonly maxAttempts: number;
}

export class PairDesk {
  readonly #pair: Pair;
  readonly #tables: Tables;
  readonly #ends: RequestEnds;
  readonly #dispatcher: Dispatcher;
  readonly #workerDesk: WorkerDesk;
  readonly #settings: PairDeskSettings;
  readonly #voice: Voice;

  constructor(
    pair: Pair,
    tables: Tables,
    ends: RequestEnds,
    dispatcher: Dispatcher,
    workerDesk: WorkerDesk,
    settings: PairDeskSettings,
    voice: Voice,
  ) {
    this.#pair = pair;
    this.#tables = tables;
    this.#ends = ends;
    this.#dispatcher = dispatcher;
    this.#workerDesk = workerDesk;
    this.#settings = settings;
    this.#voice = voice;
  }

  get nextDue(): Instant {
    const { replica, followers, takeover } = this.#pair;
    return Math.min(replica.nextDue, followers.nextDue, takeover.nextDue);
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    const { standing, replica, followers, takeover } = this.#pair;
    return [standing.state, replica.state, followers.state, takeover.state];
  }

  get status(): FailoverStatus {
    const { standing, replica, followers, takeover } = this.#pair;
    const { isActive, epoch, activeEndpoint } = standing;
    const { follower, alone } = followers.state;
    const isCopying = isActive ? follower !== undefined : replica.state.session !== '';
    const hasAll = follower !== undefined && follower.complete > 0;
    const isCopied = isActive
      ? hasAll && alone === 'no' && follower.acknowledged >= follower.complete
      : replica.state.isComplete;
    return {
      standing: isActive ? 'active' : 'passive',
      epoch,
      active: activeEndpoint,
      follower: isCopied ? 'synchronised' : isCopying ? 'copying' : 'none',
      awaited: takeover.state.awaited.size,
      withheld: followers.state.withheld.size,
    };
  }

  /** False while it stands by. */
  get isActive(): boolean {
    return this.#pair.standing.isActive;
  }

  /** A client of stock MDP wants to be served while it stands by. */
  asked(now: Instant): void {
    this.#pair.standing.asked(now);
  }

  // Active and passive

  handleCall(now: Instant, call: StandingCall): void {
    const { standing, replica, followers } = this.#pair;
    switch (call.type) {
      case 'activate':
        this.#activate(now, call.epoch);
        break;
      case 'standBy':
        if (standing.isActive && standing.epoch <= call.epoch) this.#stepDown(now);
        break;
      case 'follow':
        if (!standing.isActive) replica.follow(now, call.epoch, call.endpoint);
        break;
      case 'servesAlone':
        followers.servesAlone(call.epoch);
    }
    this.settle(now);
  }

  /** Ahead of each input: it serves no more as soon as it may not. */
  check(now: Instant): void {
    if (this.#pair.standing.isDeposed(now)) this.#stepDown(now);
  }

  #activate(now: Instant, epoch: Epoch): void {
    const { standing, replica, followers, takeover } = this.#pair;
    if (!standing.mayBegin(now, epoch)) return;
    if (standing.isActive) this.#stepDown(now);
    standing.isHeir = replica.isHeir(now);
    replica.stop();
    standing.begin(epoch);
    this.#voice.emit({ type: 'becameActive', epoch });
    followers.begin(epoch);
    takeover.begin(now, epoch, now + expiryOf(this.#settings), replica.state.roster);
    const { told } = standing;
    for (const address of standing.takeAskers(now)) this.#voice.send(address, told);
    for (const session of this.#tables.sessions.all()) {
      if (takeover.asks(session)) this.#voice.send(session.address, told);
    }
  }

  /**
   * Clients go elsewhere with what they asked for; workers stay, and what they run under keys goes on: none
   * of it is this broker's any more.
   */
  #stepDown(now: Instant): void {
    const { standing, replica, followers, takeover } = this.#pair;
    const { requests, clients, sessions } = this.#tables;
    const { epoch } = standing;
    standing.end();
    followers.end();
    replica.inherit(takeover.unheard, sessions.all());
    takeover.end();
    this.#voice.emit({ type: 'becamePassive', epoch });
    for (const request of Array.from(requests.state.open.values())) this.#ends.drop(now, request);
    const { told } = standing;
    for (const client of Array.from(clients.state.sessions.values())) {
      const { address } = client;
      clients.remove(client);
      standing.remember(now, address);
      this.#voice.emit({ type: 'clientLost', client: address, reason: 'notActive' });
      this.#voice.send(address, told);
    }
    for (const session of Array.from(sessions.all())) {
      // One that knows no pairs would stay, and wait for work that never comes.
      if (session.express?.worker === undefined) {
        this.#dispatcher.endSession(now, session, 'notActive');
        continue;
      }
      session.running.clear();
      session.express.isAsked = false;
      session.hasHandedBack = false;
      sessions.place(session);
      this.#voice.send(session.address, told);
    }
    this.#dispatcher.disown();
  }

  // What is said

  /** False if the command was for this desk, or cannot be served while the broker stands by. */
  admits(now: Instant, isToActive: boolean, from: Address, command: BrokerInput): boolean {
    const { standing, replica, followers } = this.#pair;
    if (isToActive) {
      // The codec of that port knows no others.
      replica.handle(now, command as FollowerInput);
      return false;
    }
    if ('epoch' in command && command.type !== 'report') {
      standing.seen(now, command.epoch);
    }
    this.check(now);
    switch (command.type) {
      case 'seen':
        this.#hear(now, from);
        return false;
      case 'follow':
        this.#handleFollow(now, from, command);
        return false;
      case 'recorded':
        followers.recorded(now, from, command);
        return false;
      case 'report':
        this.#handleReport(now, from, command);
        return false;
      case 'finished':
        this.#handleFinished(now, from, command);
        return false;
      default:
        if (command.type === 'disconnect') followers.handleDisconnect(from);
        return standing.isActive || !this.#turnsAway(now, from, command);
    }
  }

  /** A sign of life of whoever has a session. */
  #hear(now: Instant, from: Address): void {
    const { clients, sessions } = this.#tables;
    const client = clients.express(from);
    if (client !== undefined) clients.heard(now, client);
    if (sessions.of(from) !== undefined) this.#workerDesk.senderOf(now, from, 'SEEN');
  }

  /** While it stands by: what a client of express says. The desks of the others know what to do. */
  #turnsAway(now: Instant, from: Address, command: BrokerInput): boolean {
    const { standing } = this.#pair;
    if (command.dialect !== 'express') return false;
    switch (command.type) {
      case 'hello':
        standing.asked(now);
        this.#turnAway(now, from);
        return true;
      case 'request':
      case 'cancel':
      case 'credit':
        this.#turnAway(now, from);
        return true;
      case 'heartbeat':
      case 'announce':
      case 'disconnect':
        // It was on its way when the client was told.
        return standing.isTold(from);
      default:
        return false;
    }
  }

  #turnAway(now: Instant, from: Address): void {
    const { standing } = this.#pair;
    standing.remember(now, from);
    this.#voice.send(from, standing.told);
  }

  #handleFollow(now: Instant, from: Address, command: FollowCommand): void {
    const { standing, followers } = this.#pair;
    if (standing.isActive) followers.follow(now, from, command);
    else this.#voice.send(from, { type: 'disconnect', dialect: 'express' });
  }

  #handleReport(now: Instant, from: Address, command: ReportCommand): void {
    const session = this.#workerDesk.senderOf(now, from, 'REPORT');
    if (session === undefined) return;
    const { keys } = this.#tables;
    const isKnown = (key: string): boolean => keys.replyUnder(session.service, key) !== undefined;
    this.#pair.takeover.report(session, command, isKnown);
    for (const key of [...command.running, ...command.finished]) this.#park(session.service, key);
  }

  /** It turned out that somebody has this in hand: it must not be given to another. */
  #park(service: string, key: string): void {
    const { requests, keys } = this.#tables;
    const request = keys.openUnder(service, key);
    const isNext = request?.state === 'queued' && request.line === service;
    if (!isNext || !this.#pair.takeover.parks(service, key)) return;
    requests.holdBack(request);
    request.line = parkedLineOf(service);
    requests.requeue(request, false);
    this.#voice.emit({ type: 'requestParked', service, client: clientOf(request) });
  }

  /** What the worker did for another broker, or in an earlier session, is an answer like any other. */
  #handleFinished(now: Instant, from: Address, command: FinishedCommand): void {
    const { standing, followers, takeover } = this.#pair;
    const { keys } = this.#tables;
    const { key, body, failure } = command;
    const session = this.#workerDesk.senderOf(now, from, 'FINISHED');
    if (session === undefined || !standing.isActive) return;
    const { service } = session;
    if (!isLasting(failure)) return takeover.stopped(session, key);
    takeover.answered(service, key);
    const request = keys.openUnder(service, key);
    if (request?.answer !== undefined) return;
    // The first answer counts: it may have been told.
    const known = keys.replyUnder(service, key);
    if (request !== undefined) {
      this.#ends.stopWork(request);
      return this.#ends.reply(now, request, known ?? { body, failure });
    }
    const kept = known === undefined ? keys.keep(now, service, key, { body, failure }) : undefined;
    if (kept === undefined) return;
    if (followers.mustWait) followers.withhold(now, service, key, kept);
    else followers.record(now, service, key, kept);
  }

  // Time, and what follows

  handleGone(now: Instant, isToActive: boolean, from: Address): void {
    if (isToActive) this.#pair.replica.handleGone(now);
    else this.#pair.followers.handleGone(now, from);
  }

  handleWritable(now: Instant, to: Address): void {
    this.#pair.followers.handleWritable(now, to);
  }

  handleTimeout(now: Instant): void {
    const { replica, followers, takeover } = this.#pair;
    replica.handleTimeout(now);
    followers.handleTimeout(now);
    takeover.handleTimeout(now);
  }

  /** This side did not listen for a while. */
  forgive(now: Instant): void {
    this.#pair.replica.forgive(now);
    this.#pair.followers.forgive(now);
  }

  /** Nothing is done any more: the other broker may. */
  close(): void {
    const { standing, replica, followers, takeover } = this.#pair;
    const { isActive, epoch } = standing;
    replica.stop();
    followers.end();
    takeover.end();
    standing.end();
    if (isActive) this.#voice.emit({ type: 'becamePassive', epoch });
  }

  /** After each input: what may be told is told, and what need not wait goes on. */
  settle(now: Instant): void {
    const { standing, followers, takeover } = this.#pair;
    for (const service of takeover.takeChanged()) this.#unpark(now, service);
    takeover.forgetLost();
    if (takeover.takeCompletion()) {
      const { beganAt, workers, runs } = takeover.state;
      const waited = Math.round(now - beganAt);
      const { epoch } = standing;
      this.#voice.emit({
        type: 'takeoverComplete',
        epoch,
        waited,
        workers,
        adopted: runs.size,
      });
    }
    for (const { request, reply, session } of followers.takeReleased()) {
      // It may have expired, or gone, while it waited.
      if (request !== undefined && reply !== undefined && request.answer === reply) {
        this.#ends.conclude(now, request, reply);
      }
      if (session === undefined) continue;
      session.isUnrecorded = false;
      if (this.#tables.sessions.of(session.address) === session)
        this.#dispatcher.serve(now, session);
    }
  }

  /** Puts what nobody else has in hand into the queue of its service. */
  #unpark(now: Instant, service: string): void {
    const { takeover } = this.#pair;
    const { requests } = this.#tables;
    const line = parkedLineOf(service);
    const parked = [];
    for (;;) {
      const request = requests.takeNext(line);
      if (request === undefined) break;
      parked.push(request);
    }
    // Each goes to the head of its queue: so the first one last.
    for (const request of parked.toReversed()) {
      const key = request.key ?? '';
      if (!takeover.parks(service, key)) request.line = service;
      requests.requeue(request, true);
      if (!takeover.takeLost(service, key)) continue;
      request.attempts++;
      if (request.attempts >= this.#settings.maxAttempts) this.#ends.bury(now, request);
    }
    this.#dispatcher.dispatchAll(now, service);
  }
}
