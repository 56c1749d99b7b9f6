/** What workers say of themselves and of their work: sessions from READY to the end, in any dialect. */
import { expiryOf, slowerOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import { nextBeat } from '../../core/reconciliation.ts';
import type {
  AnnounceCommand,
  BeaconCommand,
  CapacityCommand,
  Dialect,
  HandBackCommand,
  HeartbeatCommand,
  ReadyCommand,
  ResultCommand,
} from '../wire/commands.ts';
import type { Dispatcher } from './dispatcher.ts';
import { expectLarge } from '../wire/large.ts';
import { isReserved } from '../wire/mmi.ts';
import type { Pair } from './pair.ts';
import type { Session, SessionTable } from './sessions.ts';
import type { Voice } from './voice.ts';

/** No worker is given more requests at a time, whatever it asks for. */
const CREDIT_LIMIT = 65_536;

export interface WorkerDeskSettings extends HeartbeatSettings {
  readonly workerLimit: number;
  readonly noticeGrace: number;
}

export class WorkerDesk {
  readonly #sessions: SessionTable;
  readonly #dispatcher: Dispatcher;
  readonly #settings: WorkerDeskSettings;
  readonly #voice: Voice;
  readonly #pair: Pair | undefined;

  constructor(
    sessions: SessionTable,
    dispatcher: Dispatcher,
    settings: WorkerDeskSettings,
    voice: Voice,
    pair?: Pair,
  ) {
    this.#pair = pair;
    this.#sessions = sessions;
    this.#dispatcher = dispatcher;
    this.#settings = settings;
    this.#voice = voice;
  }

  handleReady(now: Instant, from: Address, command: ReadyCommand, isClosing: boolean): void {
    const { service, dialect, session: id } = command;
    const known = id === undefined ? undefined : this.#sessions.ofExpress(id);
    const present = this.#sessions.of(from);
    if (present !== undefined && present !== known) {
      this.#voice.emit({ type: 'unexpectedCommand', from, command: 'READY' });
      const reason = id === undefined ? 'unexpectedCommand' : 'replaced';
      this.#dispatcher.endSession(now, present, reason);
      if (id === undefined) return;
    }
    if (known?.service === service) return this.#reattach(now, from, known, command);
    const refusal = isReserved(service)
      ? 'reservedName'
      : isClosing
        ? 'closing'
        : this.#sessions.size >= this.#settings.workerLimit
          ? 'workerLimit'
          : known !== undefined
            ? 'otherService'
            : command.worker === undefined && this.#pair?.standing.isActive === false
              ? 'notActive'
              : undefined;
    if (refusal !== undefined) {
      this.#voice.emit({ type: 'workerRefused', worker: from, reason: refusal });
      this.#voice.send(from, { type: 'disconnect', dialect });
      return;
    }
    const { heartbeatInterval, heartbeatLiveness } = this.#settings;
    const settings = slowerOf(this.#settings, {
      heartbeatInterval: command.heartbeatInterval ?? heartbeatInterval,
      heartbeatLiveness: command.heartbeatLiveness ?? heartbeatLiveness,
    });
    const credit = Math.min(command.credit ?? 1, CREDIT_LIMIT);
    const { worker } = command;
    const ready = { dialect, service, id, worker, credit, settings };
    const session = this.#sessions.register(now, from, ready);
    this.#pair?.followers.joined(now, session);
    this.#voice.emit({ type: 'workerReady', worker: from, service, dialect });
    // Neither RFC acknowledges READY; the first heartbeat at once tells a stock worker that it is known.
    if (id === undefined) this.#voice.send(from, { type: 'heartbeat', dialect });
    else this.#welcome(session, false);
    this.#dispatcher.serve(now, session);
  }

  /** What it holds its heartbeats say: from READY alone what is on its way to it cannot be told. */
  #reattach(now: Instant, from: Address, session: Session, command: ReadyCommand): void {
    session.credit = Math.min(command.credit ?? session.credit, CREDIT_LIMIT);
    this.#sessions.reattach(now, session, from);
    this.#voice.emit({ type: 'workerReattached', worker: from, service: session.service });
    this.#welcome(session, true);
    this.#recovered(now, session);
    this.#dispatcher.serve(now, session);
  }

  #welcome(session: Session, resumed: boolean): void {
    const { heartbeatInterval, heartbeatLiveness } = session.settings;
    const { standing, takeover } = this.#pair ?? {};
    this.#voice.send(session.address, {
      type: 'welcome',
      dialect: 'express',
      resumed,
      heartbeatInterval,
      heartbeatLiveness,
      epoch: standing?.epoch,
      standby: standing?.isActive === false,
    });
    if (takeover?.asks(session) === true) this.#ask(session);
  }

  /** What does it run, and what has it finished, under keys? */
  #ask({ address }: Session): void {
    if (this.#pair !== undefined) this.#voice.send(address, this.#pair.standing.told);
  }

  /** The session of a worker that says something of a pair, heard of now. */
  senderOf(now: Instant, from: Address, command: string): Session | undefined {
    return this.#sessionOf(now, from, 'express', command);
  }

  handleResult(now: Instant, from: Address, command: ResultCommand): void {
    const name = command.final ? 'REPLY' : 'PARTIAL';
    const session = this.#sessionOf(now, from, command.dialect, name);
    if (session !== undefined) return this.#dispatcher.settle(now, session, command);
    this.#voice.emit({ type: 'replyRefused', worker: from, reason: 'unknownWorker' });
  }

  handleHeartbeat(now: Instant, from: Address, command: HeartbeatCommand): void {
    const session = this.#sessionOf(now, from, command.dialect, 'HEARTBEAT');
    if (session?.express === undefined) return;
    this.#dispatcher.reconcile(now, session, command);
    if (session.express.isNew) this.#beat(session);
  }

  handleCapacity(now: Instant, from: Address, command: CapacityCommand): void {
    const { dialect } = command;
    const known = this.#sessions.of(from);
    const credit = known?.credit ?? 0;
    // Ahead of all that follows from its being heard again: it may just have said that it takes nothing.
    if (known?.dialect === dialect) known.credit = Math.min(command.credit, CREDIT_LIMIT);
    const session = this.#sessionOf(now, from, dialect, 'CAPACITY');
    if (session === undefined) return;
    const { service } = session;
    session.hasHandedBack = false;
    if (credit > 0 && command.credit === 0)
      this.#voice.emit({ type: 'workerDraining', worker: from, service });
    this.#dispatcher.serve(now, session);
  }

  handleHandBack(now: Instant, from: Address, command: HandBackCommand): void {
    const session = this.#sessionOf(now, from, command.dialect, 'HAND BACK');
    if (session !== undefined) this.#dispatcher.handBack(now, session, command.number);
  }

  handleAnnounce(now: Instant, from: Address, command: AnnounceCommand): void {
    const session = this.#sessionOf(now, from, command.dialect, 'ANNOUNCE');
    if (session !== undefined) expectLarge(session.heartbeat, now, command.bytes);
  }

  handleDisconnect(now: Instant, from: Address): void {
    const session = this.#sessions.of(from);
    if (session !== undefined) this.#dispatcher.endSession(now, session, 'disconnected');
  }

  /**
   * Its process lives, whatever its event loop does. That excuses the silence of one that is stuck, which
   * cannot come back to a broken link either; of one that is not, its own heartbeats have to tell.
   */
  handleBeacon(now: Instant, command: BeaconCommand): void {
    const session = this.#sessions.ofExpress(command.session);
    if (session === undefined) return;
    const { stuck } = command;
    if (stuck === 0) return this.#recovered(now, session);
    const { heartbeat, settings } = session;
    const { expiresAt } = heartbeat;
    this.#sessions.heard(now, session);
    // It comes over a link of its own: what was announced on the other is still on its way.
    heartbeat.expiresAt = Math.max(expiresAt, heartbeat.expiresAt);
    if (stuck < settings.heartbeatInterval || session.condition === 'stalled') return;
    session.condition = 'stalled';
    const { address: worker, service } = session;
    this.#voice.emit({ type: 'workerStalled', worker, service, stuck });
    this.#sessions.place(session);
  }

  /** Its event loop turns again. */
  #recovered(now: Instant, session: Session): void {
    if (session.condition === 'healthy') return;
    session.condition = 'healthy';
    const { address: worker, service } = session;
    this.#voice.emit({ type: 'workerRecovered', worker, service });
    this.#dispatcher.serve(now, session);
  }

  handlePeerGone(now: Instant, from: Address): void {
    const session = this.#sessions.of(from);
    if (session === undefined) return;
    // Parts may be lost with the link, and nothing numbers those of stock MDP: such a reply cannot go on.
    const dispatches = [...session.running.values()];
    const inParts = dispatches.some(({ parts }) => parts > 0) && session.express === undefined;
    if (inParts) return this.#dispatcher.endSession(now, session, 'gone');
    // One whose loop is stuck cannot come back to a link that was merely reset: its beacon has to tell.
    const isStalled = session.condition === 'stalled';
    const grace = isStalled ? expiryOf(session.settings) : this.#settings.noticeGrace;
    this.#sessions.noticed(now, session, grace);
  }

  /** All that is lost is known before any of it is settled: no request goes from one to the next. */
  handleTimeout(now: Instant): void {
    for (const { session, due } of this.#sessions.takeAllDue(now)) {
      if (due === 'beat') this.#beat(session);
      else this.#dispatcher.endSession(now, session, due);
    }
  }

  /** The sender's session, heard of now. Who has none, or speaks another dialect, is disconnected. */
  #sessionOf(now: Instant, from: Address, dialect: Dialect, command: string): Session | undefined {
    const session = this.#sessions.of(from);
    if (session?.dialect === dialect) {
      const wasGone = session.goneAt !== Infinity;
      this.#sessions.heard(now, session);
      this.#recovered(now, session);
      if (wasGone) this.#dispatcher.serve(now, session);
      return session;
    }
    this.#voice.emit({ type: 'unexpectedCommand', from, command });
    if (session === undefined) this.#voice.send(from, { type: 'disconnect', dialect });
    else this.#dispatcher.endSession(now, session, 'unexpectedCommand');
    return undefined;
  }

  #beat(session: Session): void {
    const { address, dialect, express, running } = session;
    if (express === undefined) {
      this.#voice.send(address, { type: 'heartbeat', dialect });
      return;
    }
    express.isNew = false;
    const held = [...running.keys()];
    this.#voice.send(address, {
      type: 'heartbeat',
      dialect: 'express',
      ...nextBeat(express.beats),
      held,
    });
    if (express.isAsked || this.#isAskedAgain(session, express.beats.sent)) this.#ask(session);
  }

  /** Once in each expiry: what it told of the end of something may have been lost. */
  #isAskedAgain(session: Session, beats: number): boolean {
    if (this.#pair?.takeover.waitsFor(session) !== true) return false;
    return beats % session.settings.heartbeatLiveness === 0;
  }
}
