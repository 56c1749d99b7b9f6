/**
 * What lies between the Titanic, its clients and its services: a broker that loses messages, delays them,
 * delivers them twice, and is away now and then.
 *
 * Majordomo has a suite of its own; here it is anything that it is allowed to be. Every message is
 * counted as the simulated network would count it.
 */
import type { Frames } from '../../core/machine.ts';
import type { SimProcess } from '../sim-process.ts';
import type { SimWorld } from '../sim-world.ts';

export interface ChannelSettings {
  /** Milliseconds that a message takes, at most, unless it is late. */
  readonly jitter: number;
  /** Of each hundred messages, how many are lost, come twice, or come late. */
  readonly loss: number;
  readonly twice: number;
  readonly late: number;
}

/** How late a late message is at most, in milliseconds. */
const LATEST = 500;

const STORM = { loss: 25, twice: 25, late: 25 };

export class Channel {
  readonly #world: SimWorld;
  readonly #settings: ChannelSettings;
  readonly #isCut: () => boolean;
  #isStormy = false;
  #isCalm = false;
  #inTransit = 0;

  /** @param isCut nothing gets through */
  constructor(world: SimWorld, settings: ChannelSettings, isCut: () => boolean) {
    this.#world = world;
    this.#settings = settings;
    this.#isCut = isCut;
  }

  /** Messages that are neither delivered nor lost. */
  get inTransit(): number {
    return this.#inTransit;
  }

  set isStormy(isStormy: boolean) {
    this.#isStormy = isStormy;
  }

  /** From now on everything arrives, once and soon. */
  calm(): void {
    this.#isCalm = true;
  }

  /** @param to whose turn `deliver` is; undefined: somebody who neither pauses nor dies */
  send(
    what: string,
    frames: Frames,
    to: SimProcess | undefined,
    deliver: (frames: Frames) => void,
  ): void {
    const { effects } = this.#world;
    effects.sent++;
    if (this.#happens('loss')) {
      effects.dropped++;
      return;
    }
    this.#carry(what, frames, to, deliver);
    if (!this.#happens('twice')) return;
    effects.sent++;
    this.#carry(what, frames, to, deliver);
  }

  #happens(what: 'loss' | 'twice' | 'late'): boolean {
    if (this.#isCalm) return false;
    const { [what]: share } = this.#isStormy ? STORM : this.#settings;
    return share > 0 && this.#world.random() * 100 < share;
  }

  #carry(
    what: string,
    frames: Frames,
    to: SimProcess | undefined,
    deliver: (frames: Frames) => void,
  ): void {
    const { effects, random } = this.#world;
    this.#inTransit++;
    const delay = random() * (this.#happens('late') ? LATEST : this.#settings.jitter);
    const end = (): void => void this.#inTransit--;
    this.#world.after(delay, () => {
      if (this.#isCut()) {
        end();
        effects.lostInFlight++;
      } else if (to === undefined) {
        end();
        this.#arrived(what, frames, deliver);
      } else {
        to.receive({
          deliver: () => {
            end();
            if (to.isOver) effects.lostAtClose++;
            else this.#arrived(what, frames, deliver);
          },
          abandon: () => {
            end();
            effects.lostAtCrash++;
          },
        });
      }
    });
  }

  #arrived(what: string, frames: Frames, deliver: (frames: Frames) => void): void {
    const { effects, trace, transcript, now } = this.#world;
    effects.delivered++;
    trace.addNumber(now);
    trace.addText(what);
    trace.addNumber(frames.length);
    transcript?.message(now, what, '', frames);
    deliver(frames);
  }
}
