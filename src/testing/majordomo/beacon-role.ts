/** The beacon beside a simulated worker: a thread with a socket of its own, which no handler blocks. */
import type { BeaconCommand, SessionId } from '../../majordomo/wire/commands.ts';
import { encode } from '../../majordomo/wire/express-codec.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import { BROKER_ENDPOINT } from './broker-role.ts';
import type { MajordomoStage } from './stage.ts';

/** While all is well one beat in so many is sent, to spend less of a run on them. */
const CALM = 3;

export class BeaconRole {
  readonly process: SimProcess;
  readonly #stage: MajordomoStage;
  readonly #worker: SimProcess;
  #socket: TransportSocket | undefined;
  #session: SessionId | undefined;
  #stuckSince: number | undefined;
  #beats = 0;

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

  /** Speaks for this session from now on. */
  open(session: SessionId, interval: number): void {
    const isNew = this.#session !== session;
    this.#session = session;
    if (!isNew) return;
    const { network } = this.#stage;
    this.#socket ??= network.transport(this.process).open('dealer', {
      onMessage: () => undefined,
      onPeerGone: () => undefined,
    });
    this.#socket.connect(BROKER_ENDPOINT);
    this.#beat(session, interval);
  }

  close(session: SessionId): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#socket?.close(0);
    this.#socket = undefined;
  }

  #beat(session: SessionId, interval: number): void {
    const { process } = this;
    process.wakeAt(process.now() + interval, () => {
      if (this.#session !== session) return;
      this.#beats++;
      const { world } = this.#stage;
      const stuck = Math.floor(world.now - (this.#stuckSince ?? world.now));
      if (stuck === 0 && this.#beats % CALM !== 0) return this.#beat(session, interval);
      const command: BeaconCommand = { type: 'beacon', dialect: 'express', session, stuck };
      this.#socket?.send('', encode(command, undefined).frames, () => undefined);
      this.#beat(session, interval);
    });
  }
}
