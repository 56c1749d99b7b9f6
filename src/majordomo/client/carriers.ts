/**
 * What carries the requests of a client: with a broker that speaks express one session for all of them,
 * with any other a lane for each. The client machine need not know which.
 *
 * Until it is known what the broker speaks, nothing is carried. A late answer moves new requests to
 * express, and the lanes end with what they carry.
 *
 * Two brokers may be a pair. Then its session is with the active one, and a lost session is followed by
 * one at the other endpoint without a question: what a broker of a pair speaks is known.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant, Outbox } from '../../core/machine.ts';
import { tryTime, type Carrier } from '../../core/request-lives.ts';
import type {
  ClientEvent,
  ClientLossReason,
  ClientRequest,
  ClientSettings,
} from './client-request.ts';
import type {
  ClientInput,
  ClientOutput,
  ReplyCommand,
  StandingCommand,
  WelcomeCommand,
} from '../wire/commands.ts';
import { SeenEpochs } from '../epochs.ts';
import { ExpressLink, type ExpressPort } from './express-link.ts';
import { LanePool, type Lane, type LanePort } from '../../core/lanes.ts';
import { Negotiation, PATIENCE, type ProbePort } from '../negotiation.ts';

export type ClientPort = ProbePort | ExpressPort | LanePort;

/** Who has requests to carry. */
export interface CarrierOwner {
  /** A part of the reply to this request, or the end of it. */
  handleReply(now: Instant, request: ClientRequest, command: ReplyCommand): void;
  /** The tries of these were lost, on a link or with a broker. */
  handleLost(now: Instant, requests: readonly ClientRequest[]): void;
  /** There may be room, or what can be carried has changed. */
  handleRoom(now: Instant): void;
}

export class Carriers implements Carrier<ClientRequest> {
  readonly #outbox: Outbox<ClientPort, ClientOutput, ClientEvent>;
  readonly #settings: ClientSettings;
  readonly #owner: CarrierOwner;
  readonly #negotiation: Negotiation;
  readonly #link: ExpressLink;
  readonly #lanes: LanePool<ClientRequest>;
  readonly #epochs = new SeenEpochs();
  readonly #state = {
    /** The last epoch that it was served under; 0: none. */
    servedUnder: 0 as Epoch,
    /** When a broker of a pair was last known to be there. */
    pairSeenAt: -Infinity,
    activeElsewhere: undefined as string | undefined,
  };

  constructor(
    outbox: Outbox<ClientPort, ClientOutput, ClientEvent>,
    settings: ClientSettings,
    owner: CarrierOwner,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#owner = owner;
    this.#negotiation = new Negotiation(outbox, settings.protocol, settings.random);
    this.#lanes = new LanePool(settings.lanes, outbox);
    this.#link = new ExpressLink(outbox, settings, this.#epochs, this.#lanes.endpoints);
  }

  /** Plain data, for the fingerprint. */
  get state(): unknown {
    const { state } = this.#epochs;
    return [this.#negotiation.state, this.#link.states, this.#lanes.state, state, this.#state];
  }

  get nextTimeout(): Instant {
    return Math.min(this.#link.nextTimeout, this.#negotiation.nextTimeout);
  }

  /** True if requests are carried by express, now or as soon as there is a session. */
  get isExpress(): boolean {
    return this.#negotiation.verdict === 'express';
  }

  /**
   * True if the broker said that it speaks plain MDP only. One that says nothing may come back and
   * speak express.
   */
  get isPlain(): boolean {
    const { verdict, nextTimeout } = this.#negotiation;
    return verdict === 'plain' && nextTimeout === Infinity && this.#lanes.endpoints.length > 0;
  }

  /**
   * Where a passive broker said last that the active one is, '' if it knows of none; undefined if nobody
   * said so since there was a session.
   */
  get activeElsewhere(): string | undefined {
    return this.#state.activeElsewhere;
  }

  get hasRoom(): boolean {
    if (this.#negotiation.verdict === 'express') return this.#link.hasRoom;
    return this.#negotiation.verdict === 'plain' && this.#lanes.hasFree;
  }

  /** Where this request was sent. */
  endpointOf({ lane }: ClientRequest): string {
    return lane === undefined ? this.#endpoint : this.#lanes.endpointOf(lane);
  }

  connect(now: Instant, endpoints: readonly string[]): void {
    const isFirst = this.#lanes.endpoints.length === 0;
    this.#lanes.addEndpoints(endpoints);
    if (isFirst && endpoints.length > 0) this.#seek(now, 0);
    else this.#owner.handleRoom(now);
  }

  close(): void {
    this.#negotiation.stop();
    // A broker that was never heard knows of no session.
    this.#link.close(!this.#link.isUnwelcomed);
    this.#lanes.closeIdle();
  }

  // Requests

  carry(now: Instant, request: ClientRequest): Instant | undefined {
    if (!this.hasRoom) return undefined;
    const { call } = request;
    request.beginTry();
    if (this.isExpress) {
      if (!this.#link.send(now, request)) return undefined;
      // Under a key another try would only join the first.
      return now + ((call.key === undefined && call.attemptTimeout) || Infinity);
    }
    if (request.needsExpress) return undefined;
    const { service, body, dialect } = call;
    const { port } = this.#lanes.take(request);
    this.#outbox.send(port, '', { type: 'request', dialect, service, body });
    return now + tryTime(call);
  }

  needsRest({ lane }: ClientRequest): boolean {
    return lane !== undefined;
  }

  release(now: Instant, request: ClientRequest): void {
    if (request.lane === undefined) {
      this.#link.succeed(request);
      return this.#leaveIfSpent(now);
    }
    this.#lanes.release(request);
    if (this.isExpress) this.#lanes.closeIdle();
  }

  abandon(now: Instant, request: ClientRequest, letDown: boolean): void {
    if (request.number > 0) {
      this.#link.cancel(request);
      this.#leaveIfSpent(now);
    }
    if (request.lane === undefined) return;
    this.#lanes.abandon(request, letDown);
    if (letDown) this.#seekAnother(now);
  }

  /** The broker closes and has not taken the request: it is left when it has answered all others. */
  turnAway(now: Instant, request: ClientRequest): void {
    this.#link.turnAway(request);
    this.#leaveIfSpent(now);
  }

  /** The reader of a stream took so many bytes. */
  taken(request: ClientRequest, bytes: number): void {
    if (request.number > 0) this.#link.taken(request, bytes);
  }

  // Inputs

  handleCommand(now: Instant, port: ClientPort, command: ClientInput): void {
    if (port === 'express') return this.#handleExpress(now, command);
    if (port === 'probe') {
      if (command.type !== 'reply') return;
      this.#negotiation.handleReply(command);
      return this.#adopt(now);
    }
    const lane = this.#lanes.of(port);
    const request = lane?.request;
    if (lane === undefined || request === undefined || !answers(request, command)) {
      this.#outbox.emit({ type: 'replyRefused', lane: lane?.number ?? -1 });
      return;
    }
    this.#lanes.prefer(lane.endpoint);
    this.#owner.handleReply(now, request, command);
  }

  /** Returns the lane on which a link broke: what became of its request is the owner's to decide. */
  handlePeerGone(now: Instant, port: ClientPort): Lane<ClientRequest> | undefined {
    if (port === 'express') this.#link.handlePeerGone(now);
    if (port === 'express' || port === 'probe') return undefined;
    this.#seekAnother(now);
    return this.#lanes.of(port);
  }

  handleWritable(now: Instant, port: ClientPort): void {
    // A lane carries one request: its queue is empty whenever it is used.
    if (port !== 'express') return;
    this.#link.handleWritable();
    this.#owner.handleRoom(now);
  }

  handleTimeout(now: Instant): void {
    const due = this.#link.handleTimeout(now);
    if (due === 'silent') this.#endSession(now, 'silent');
    else if (due === 'rested') this.#seekNext(now);
    if (this.#negotiation.handleTimeout(now)) this.#adopt(now);
  }

  // The dialect

  /** Asks what the broker speaks, unless it is known. */
  #seek(now: Instant, first: number): void {
    this.#negotiation.start(now, this.#lanes.endpoints, first);
    this.#adopt(now);
  }

  /** After a session. Whoever was one of a pair a moment ago is not asked what it speaks. */
  #seekNext(now: Instant): void {
    const { next } = this.#link.state;
    if (now - this.#state.pairSeenAt > PATIENCE) return this.#seek(now, next);
    this.#link.open(now, next);
    this.#owner.handleRoom(now);
  }

  /** The broker spoke plain MDP: who is there after it may be another. */
  #seekAnother(now: Instant): void {
    const mayDiffer = this.#settings.protocol === 'auto' && this.isPlain;
    if (mayDiffer) this.#seek(now, this.#lanes.state.endpoint);
  }

  /** It is known what the broker speaks, or known anew. */
  #adopt(now: Instant): void {
    const { verdict, endpoint } = this.#negotiation;
    if (verdict === 'express' && this.#link.state.phase === 'closed') {
      this.#link.open(now, endpoint);
    }
    if (this.isPlain) this.#lanes.prefer(endpoint);
    this.#owner.handleRoom(now);
  }

  // The express session

  get #endpoint(): string {
    return this.#lanes.endpoints[this.#link.state.endpoint]!;
  }

  #handleExpress(now: Instant, command: ClientInput): void {
    const link = this.#link;
    if (!link.isUp || command.dialect !== 'express') {
      return this.#outbox.emit({ type: 'replyRefused', lane: -1 });
    }
    link.heard(now);
    switch (command.type) {
      case 'reply':
        return this.#takeReply(now, command);
      case 'heartbeat':
        this.#owner.handleLost(now, link.handleHeartbeat(command));
        return this.#leaveIfSpent(now);
      case 'welcome':
        return this.#takeWelcome(now, command);
      case 'standing':
        return this.#takeStanding(now, command);
      case 'announce':
        return link.expectLarge(now, command.bytes);
      case 'disconnect':
        return this.#endSession(now, 'disconnected');
    }
  }

  #takeWelcome(now: Instant, command: WelcomeCommand): void {
    const link = this.#link;
    const { epoch } = command;
    if (epoch !== undefined && !this.#admit(now, epoch)) return;
    this.#state.activeElsewhere = undefined;
    const isNew = !command.resumed || link.isUnwelcomed;
    const lost = link.handleWelcome(now, command);
    this.#lanes.closeIdle();
    this.#noteReign(epoch);
    if (isNew) this.#outbox.emit({ type: 'ready', endpoint: this.#endpoint, epoch });
    this.#owner.handleLost(now, lost);
  }

  /** False: a broker of this epoch may not serve. */
  #admit(now: Instant, epoch: Epoch): boolean {
    const verdict = this.#epochs.judge(epoch);
    if (verdict === 'implausible') {
      this.#outbox.emit({ type: 'malformed', reason: `a WELCOME under an epoch of ${epoch}` });
      return false;
    }
    this.#state.pairSeenAt = now;
    if (verdict !== 'outdated') return true;
    this.#link.saySeen();
    this.#endSession(now, 'outdated');
    return false;
  }

  #noteReign(epoch: Epoch | undefined): void {
    const { servedUnder } = this.#state;
    if (epoch === undefined || epoch === servedUnder) return;
    this.#state.servedUnder = epoch;
    if (servedUnder === 0) return;
    this.#outbox.emit({ type: 'failedOver', endpoint: this.#endpoint, epoch });
  }

  /** A broker of a pair does not serve, or does so from now on. */
  #takeStanding(now: Instant, { active, epoch, endpoint }: StandingCommand): void {
    const link = this.#link;
    this.#epochs.judge(epoch);
    this.#state.pairSeenAt = now;
    if (active) return this.#owner.handleLost(now, link.greetAgain(now, epoch));
    this.#state.activeElsewhere = endpoint;
    const { endpoints } = this.#lanes;
    const listed = endpoints.indexOf(endpoint);
    // Somebody serves: if nobody in the list has that name, it may be there under another one.
    const isNamed = endpoint !== '' && endpoints.length > 1;
    const other = listed === -1 && isNamed ? (link.state.endpoint + 1) % endpoints.length : listed;
    if (other !== -1 && other !== link.state.endpoint)
      return this.#endSession(now, 'passive', other);
    if (!link.isUnwelcomed) this.#tellLost('passive');
    this.#owner.handleLost(now, link.stay(now));
  }

  #takeReply(now: Instant, command: ReplyCommand): void {
    const { number = 0, sequence = 0 } = command;
    const request = this.#link.of(number);
    if (request === undefined) {
      // The reply to one that was cancelled crosses the cancel: that is in order.
      if (this.#link.isUnknown(number)) this.#outbox.emit({ type: 'replyRefused', lane: -1 });
    } else if (sequence === request.sequence) {
      this.#owner.handleReply(now, request, command);
    } else {
      // A part is missing.
      this.#link.cancel(request);
      this.#owner.handleLost(now, [request]);
      this.#leaveIfSpent(now);
    }
  }

  #leaveIfSpent(now: Instant): void {
    if (this.#link.isSpent) this.#endSession(now, 'closing');
  }

  /** @param next index of the endpoint to go on with, if not the next one */
  #endSession(now: Instant, reason: ClientLossReason, next?: number): void {
    const link = this.#link;
    if (!link.isUnwelcomed) {
      this.#tellLost(reason);
      if (link.state.epoch > 0) this.#state.pairSeenAt = now;
    }
    const farewell = reason === 'closing' || reason === 'outdated';
    this.#owner.handleLost(now, link.end(now, farewell, reason === 'silent', next));
  }

  #tellLost(reason: ClientLossReason): void {
    this.#outbox.emit({ type: 'brokerLost', endpoint: this.#endpoint, reason });
  }
}

/** True if `command` can be the reply to what was asked on this lane. */
function answers(request: ClientRequest, command: ClientInput): command is ReplyCommand {
  const { service, dialect } = request.call;
  return command.type === 'reply' && command.service === service && command.dialect === dialect;
}
