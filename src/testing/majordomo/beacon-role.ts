/** The beacon beside a simulated worker: a thread with sockets of its own, which no handler blocks. */
import type { BeaconCommand, SessionId } from '../../majordomo/wire/commands.ts';
import { encode } from '../../majordomo/wire/express-codec.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import type { MajordomoStage } from './stage.ts';

/** While all is well one beat in so many is sent, to spend less of a run on them. */
const CALM = 3;

/** One session that it speaks for. */
interface Spoken {
  readonly session: SessionId;
  readonly interval: number;
  readonly socket: TransportSocket;
  beats: number;
}

export class BeaconRole {
  readonly process: SimProcess;
  readonly #stage: MajordomoStage;
  readonly #worker: SimProcess;
  readonly #spoken = new Map<SessionId, Spoken>();
  #stuckSince: number | undefined;

  /** Ends with `worker`, the process that it belongs to. */
  constructor(stage: MajordomoStage, worker: SimProcess) {
    this.#stage = stage;
    this.#worker = worker;
    this.process = stage.world.start(`${worker.name}-beacon`, stage.processOptions());
    worker.watch({
      processCrashed: () => this.process.crash(),
      processExited: () => this.process.exit(),
      processResumed: () => {
        this.#stuckSince = undefined;
      },
    });
  }

  /** The worker's event loop does not turn for so long; that of the beacon does. */
  stall(duration: number): void {
    this.#stuckSince ??= this.#stage.world.now;
    this.#worker.pause(duration);
  }

  /** Speaks for this session, too, from now on. */
  open(session: SessionId, endpoint: string, interval: number): void {
    if (this.#spoken.has(session)) return;
    const socket = this.#stage.network.transport(this.process).open('dealer', {
      onMessage: () => undefined,
      onPeerGone: () => undefined,
    });
    socket.connect(endpoint);
    const spoken: Spoken = { session, interval, socket, beats: 0 };
    this.#spoken.set(session, spoken);
    this.#beat(spoken);
  }

  close(session: SessionId): void {
    this.#spoken.get(session)?.socket.close(0);
    this.#spoken.delete(session);
  }

  #beat(spoken: Spoken): void {
    const { process } = this;
    const { session, interval, socket } = spoken;
    process.wakeAt(process.now() + interval, () => {
      if (!this.#spoken.has(session)) return;
      spoken.beats++;
      const { world } = this.#stage;
      const stuck = Math.floor(world.now - (this.#stuckSince ?? world.now));
      if (stuck > 0 || spoken.beats % CALM === 0) {
        const command: BeaconCommand = { type: 'beacon', dialect: 'express', session, stuck };
        socket.send('', encode(command, undefined).frames, () => undefined);
      }
      this.#beat(spoken);
    });
  }
}
