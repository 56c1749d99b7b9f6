/**
 * The express session of a client: one socket, and every request on it told apart by its number.
 *
 *   closed ──open──► greeting ──WELCOME──► open
 *     ▲                ▲  │ no WELCOME      │ │ silent, DISCONNECT
 *     │ rested         │  ▼ in time         │ ▼
 *     └──────────── resting ◄───────────────┼─┘
 *                      └── link broke: HELLO again, of the same session
 *
 * A broken link is no end: if the broker still knows the session, everything goes on, and what was
 * lost with the link is found by the first heartbeats. The machine above decides what becomes of a
 * request that was lost. A passive broker of a pair that knows nobody who serves is stayed with for a
 * while (`passive`): it says when it does so itself.
 */
import type { Epoch } from '../../core/election.ts';
import {
  beaten,
  forgive,
  heard,
  nextDue,
  slowerOf,
  startHeartbeat,
  type HeartbeatSettings,
} from '../../core/heartbeat.ts';
import type { Instant, Outbox } from '../../core/machine.ts';
import { NumberMap } from '../../core/number-map.ts';
import { lostOnTheWay, nextBeat, startBeats } from '../../core/reconciliation.ts';
import type { SeenEpochs } from '../epochs.ts';
import type { ClientRequest } from './client-request.ts';
import type {
  ClientOutput,
  HeartbeatCommand,
  RequestNumber,
  SessionId,
  WelcomeCommand,
} from '../wire/commands.ts';
import { announcedBytes, expectLarge, patientUntil } from '../wire/large.ts';
import { requestCommand } from './request-command.ts';
import { STANDING_PATIENCE } from '../epochs.ts';
import { Patience, type PatienceSettings } from './patience.ts';

/** The port of the session's socket. */
export type ExpressPort = 'express';

/** What a link needs of its machine's settings. */
export interface LinkSettings extends PatienceSettings {
  readonly inFlightLimit: number;
  readonly streamWindow: number;
}

/** What became due: nothing was heard, or another session may be begun. */
export type LinkDue = 'silent' | 'rested';

export class ExpressLink {
  readonly #outbox: Pick<Outbox<ExpressPort, ClientOutput, never>, 'open' | 'close' | 'send'>;
  readonly #settings: LinkSettings;
  readonly #epochs: SeenEpochs;
  readonly #endpoints: readonly string[];
  readonly #patience: Patience;
  /** Plain data, for the fingerprint. */
  readonly state = {
    phase: 'closed' as 'closed' | 'greeting' | 'passive' | 'open' | 'resting',
    session: '' as SessionId,
    /** Index of the endpoint that it is, or was last, connected to. */
    endpoint: 0,
    /** Of the one that is tried next. */
    next: 0,
    /** When it was connected to, and when it was greeted. */
    begunAt: -Infinity,
    greetedAt: -Infinity,
    /** Of the broker that welcomed it; 0 if that is alone. */
    epoch: 0 as Epoch,
    /** Never reset, so that no number is ever used again. */
    lastNumber: 0 as RequestNumber,
    underWay: new NumberMap<ClientRequest>(),
    beats: startBeats(),
    heartbeat: { beatAt: Infinity, expiresAt: Infinity },
    /** As negotiated with the broker. */
    settings: { heartbeatInterval: 0, heartbeatLiveness: 0 } as HeartbeatSettings,
    /** When the WELCOME is given up, or the rest is over. */
    phaseAt: Infinity,
    /** False while its outgoing queue is full. */
    writable: true,
    /** The broker takes nothing new. */
    isClosing: false,
  };

  /** @param endpoints may grow, but not change */
  constructor(
    outbox: Pick<Outbox<ExpressPort, ClientOutput, never>, 'open' | 'close' | 'send'>,
    settings: LinkSettings,
    epochs: SeenEpochs,
    endpoints: readonly string[],
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#epochs = epochs;
    this.#endpoints = endpoints;
    this.#patience = new Patience(settings);
  }

  /** Plain data, for the fingerprint. */
  get states(): readonly object[] {
    return [this.state, this.#patience.state];
  }

  get nextTimeout(): Instant {
    const { phase, heartbeat, phaseAt } = this.state;
    return phase === 'open' ? nextDue(heartbeat) : phaseAt;
  }

  /** True while there is a session, welcomed or not. */
  get isUp(): boolean {
    const { phase } = this.state;
    return phase === 'greeting' || phase === 'open' || phase === 'passive';
  }

  /** True if a request could be sent at once. */
  get hasRoom(): boolean {
    const { phase, writable, isClosing, underWay } = this.state;
    const { inFlightLimit } = this.#settings;
    return phase === 'open' && writable && !isClosing && underWay.size < inFlightLimit;
  }

  /** True before the first WELCOME of this session. */
  get isUnwelcomed(): boolean {
    return this.state.beats.sent === 0;
  }

  /** True if there is nothing more to be had from this session. */
  get isSpent(): boolean {
    const { isClosing, underWay } = this.state;
    return isClosing && underWay.size === 0 && this.isUp;
  }

  /** Begins a session. */
  open(now: Instant, endpoint: number): void {
    const { state } = this;
    state.endpoint = endpoint;
    state.begunAt = now;
    state.writable = true;
    this.#outbox.open('express', this.#endpoints[endpoint]!);
    this.#begin(now);
  }

  /** With the broker that it is connected to. */
  #begin(now: Instant): void {
    const { state } = this;
    const { random } = this.#settings;
    const bytes = Array.from({ length: 16 }, () => Math.floor(random() * 256) & 0xff);
    state.session = String.fromCharCode(...bytes);
    state.phase = 'greeting';
    state.greetedAt = now;
    state.phaseAt = now + this.#patience.greeting(this.#isInPair);
    state.beats = startBeats();
    state.isClosing = false;
    this.#greet();
  }

  /** The link broke; its socket connects again by itself. */
  handlePeerGone(now: Instant): void {
    const { state } = this;
    if (state.phase === 'open' || state.phase === 'passive') {
      state.phase = 'greeting';
      state.phaseAt = now + this.#patience.link(this.#isInPair);
    }
    if (state.phase === 'greeting') this.#greet();
  }

  /** Returns what is lost with an earlier life of the broker, and is no longer under way. */
  handleWelcome(now: Instant, command: WelcomeCommand): readonly ClientRequest[] {
    const { state } = this;
    this.#noteAnswer(now);
    state.epoch = command.epoch ?? 0;
    state.settings = slowerOf(this.#settings, command);
    state.heartbeat = startHeartbeat(now, state.settings);
    state.phase = 'open';
    state.phaseAt = Infinity;
    const lost = command.resumed ? [] : this.#takeAll();
    if (!command.resumed) {
      // Whoever was closing is gone: this is a later life of it.
      state.beats = startBeats();
      state.isClosing = false;
    }
    // What was heard before may be of an earlier life of the broker's session: no echo may claim it.
    state.beats.heard = 0;
    this.#beat(now);
    return lost;
  }

  /**
   * The broker does not serve, nor knows who does: it says so when it does itself. Returns what was under
   * way, which is lost.
   */
  stay(now: Instant): readonly ClientRequest[] {
    const { state } = this;
    this.#noteAnswer(now);
    if (state.phase === 'passive') return NOTHING;
    // Who had a session is told only as one who has asked since.
    if (state.phase === 'open') this.#begin(now);
    state.beats = startBeats();
    state.phase = 'passive';
    state.phaseAt = now + STANDING_PATIENCE;
    return this.#takeAll();
  }

  /** The broker serves from now on, under this epoch. Returns what is lost: it did not all the time. */
  greetAgain(now: Instant, epoch: Epoch): readonly ClientRequest[] {
    const { state } = this;
    if (state.phase === 'open' && epoch <= state.epoch) return NOTHING;
    this.#begin(now);
    return this.#takeAll();
  }

  /** Something came from the broker. */
  heard(now: Instant): void {
    const { phase, heartbeat, settings } = this.state;
    if (phase === 'open') heard(heartbeat, now, settings);
  }

  /** Returns what was lost on the way, and is no longer under way. */
  handleHeartbeat(command: HeartbeatCommand): readonly ClientRequest[] {
    const { beats, underWay } = this.state;
    const { beat = 0, echo = 0, held = [] } = command;
    const lost = [...lostOnTheWay(beats, { beat, echo, held }, underWay.values())];
    for (const request of lost) this.#settle(request);
    return lost;
  }

  expectLarge(now: Instant, bytes: number): void {
    const { state } = this;
    if (state.phase === 'open') expectLarge(state.heartbeat, now, bytes);
    // What was queued before the link broke comes first on the new one, and WELCOME behind it.
    else if (state.phase === 'greeting') state.phaseAt = patientUntil(state.phaseAt, now, bytes);
  }

  handleWritable(): void {
    this.state.writable = true;
  }

  handleTimeout(now: Instant): LinkDue | undefined {
    const { state } = this;
    if (this.nextTimeout > now) return undefined;
    const { phase, heartbeat } = state;
    if (phase === 'resting') {
      state.phase = 'closed';
      state.phaseAt = Infinity;
      return 'rested';
    }
    const settings = phase === 'open' ? state.settings : this.#settings;
    // Who was stopped itself has not heard the broker: that is no evidence against it.
    const wasStopped = now - this.nextTimeout > settings.heartbeatInterval;
    if (phase !== 'open') {
      if (wasStopped) state.phaseAt = now + settings.heartbeatInterval;
      else if (phase === 'greeting' && this.isUnwelcomed) this.#patience.unanswered();
      return wasStopped ? undefined : 'silent';
    }
    if (wasStopped) forgive(heartbeat, now, settings);
    if (heartbeat.expiresAt <= now) return 'silent';
    this.#beat(now);
    return undefined;
  }

  /**
   * Ends the session, and rests. Returns what was under way.
   * @param wasSilent nothing was heard, or nothing new
   * @param next index of the endpoint to go on with
   */
  end(
    now: Instant,
    farewell: boolean,
    wasSilent: boolean,
    next = this.state.endpoint + 1,
  ): readonly ClientRequest[] {
    const { state } = this;
    this.close(farewell);
    state.phase = 'resting';
    state.next = next % this.#endpoints.length;
    state.phaseAt = this.#isInPair
      ? this.#patience.pairRestUntil(now, state.begunAt, wasSilent)
      : this.#patience.restUntil(now);
    return this.#takeAll();
  }

  /**
   * Ends the session for good.
   * @param farewell the broker is told, if it knows of the session
   */
  close(farewell: boolean): void {
    const { state } = this;
    if (this.isUp) {
      if (farewell) this.#outbox.send('express', '', { type: 'disconnect', dialect: 'express' });
      this.#outbox.close('express', farewell);
    }
    state.phase = 'closed';
    state.phaseAt = Infinity;
  }

  /** Another broker may serve: this one is one of several, of a pair. */
  get #isInPair(): boolean {
    return this.#epochs.isPair && this.#endpoints.length > 1;
  }

  #noteAnswer(now: Instant): void {
    const { phase, greetedAt } = this.state;
    if (phase === 'greeting' && this.isUnwelcomed) this.#patience.answered(now - greetedAt);
  }

  // Requests

  /** The request that has this number, if it is under way. */
  of(number: RequestNumber): ClientRequest | undefined {
    return this.state.underWay.get(number);
  }

  /** True if no request ever had this number. */
  isUnknown(number: RequestNumber): boolean {
    return number <= 0 || number > this.state.lastNumber;
  }

  /** Sends it under a number of its own. False: the queue is full, and nothing was sent. */
  send(now: Instant, request: ClientRequest): boolean {
    const { state } = this;
    const bytes = announcedBytes(request.call.body);
    if (bytes !== undefined) {
      this.#outbox.send('express', '', { type: 'announce', dialect: 'express', bytes });
    }
    const number = state.lastNumber + 1;
    const { streamWindow } = this.#settings;
    const command = requestCommand(now, request, number, streamWindow);
    const isQueued = this.#outbox.send('express', '', command);
    state.writable = isQueued;
    if (!isQueued) return false;
    state.lastNumber = number;
    state.underWay.set(number, request);
    request.number = number;
    request.sentAfter = state.beats.sent;
    return true;
  }

  /** It was answered: this session is of use. */
  succeed(request: ClientRequest): void {
    this.#patience.succeeded();
    this.#settle(request);
  }

  /** The broker closes, and has not taken it. */
  turnAway(request: ClientRequest): void {
    this.state.isClosing = true;
    this.#settle(request);
  }

  /** It is no longer under way. */
  #settle(request: ClientRequest): void {
    this.state.underWay.delete(request.number);
    request.number = 0;
  }

  /** Nobody waits for it any more. If the queue is full, the next heartbeat will tell. */
  cancel(request: ClientRequest): void {
    const { number } = request;
    this.#outbox.send('express', '', { type: 'cancel', dialect: 'express', number });
    this.#settle(request);
  }

  /** The reader took so many bytes more of its parts: told in steps of half a window. */
  taken(request: ClientRequest, bytes: number): void {
    request.takenBytes += bytes;
    const news = request.takenBytes - request.toldBytes;
    if (news * 2 >= this.#settings.streamWindow) this.#tellTaken(request);
  }

  #tellTaken(request: ClientRequest): void {
    const { number, takenBytes: bytes } = request;
    if (this.#outbox.send('express', '', { type: 'credit', dialect: 'express', number, bytes })) {
      request.toldBytes = bytes;
    }
  }

  #takeAll(): readonly ClientRequest[] {
    const all = [...this.state.underWay.values()];
    for (const request of all) this.#settle(request);
    return all;
  }

  // What is said

  #greet(): void {
    const { session } = this.state;
    const { heartbeatInterval, heartbeatLiveness } = this.#settings;
    this.#outbox.send('express', '', {
      type: 'hello',
      dialect: 'express',
      session,
      heartbeatInterval,
      heartbeatLiveness,
      epoch: this.#epochs.shown,
    });
  }

  /** There is a higher epoch than this broker's. */
  saySeen(): void {
    const { highest: epoch } = this.#epochs;
    this.#outbox.send('express', '', { type: 'seen', dialect: 'express', epoch });
  }

  #beat(now: Instant): void {
    const { heartbeat, settings, beats, underWay } = this.state;
    beaten(heartbeat, now, settings);
    this.#outbox.send('express', '', {
      type: 'heartbeat',
      dialect: 'express',
      ...nextBeat(beats),
      held: [...underWay.keys()],
    });
    // What was told of the reading may have been lost, and then nothing would ever move again.
    for (const request of underWay.values()) if (request.takenBytes > 0) this.#tellTaken(request);
  }
}

const NOTHING: readonly never[] = [];
