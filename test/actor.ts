/** One machine on a recording outbox, driven by hand: what the stories of every pattern are told with. */
import { decodeFailure } from '../src/core/error-body.ts';
import { decodeText, encodeText } from '../src/core/frames.ts';
import type { Frames, Instant, Machine, Outbox } from '../src/core/machine.ts';

export const body = (...texts: string[]): Frames => texts.map(encodeText);

/** A body as text: a failure by its code. */
export function textOf(frames: Frames): string {
  return decodeFailure(frames)?.code ?? frames.map(decodeText).join('|');
}

/** Runs the machine's own deadlines on the way to wherever time goes. */
export class Actor<Port extends string, Input, Output, Call, Event> {
  now: Instant = 0;
  readonly sent: { readonly to: string; readonly command: Output }[] = [];
  readonly events: Event[] = [];
  /** `open lane-0 tcp://a`, `close lane-0`. */
  readonly sockets: string[] = [];
  /** Peers, or ports of a DEALER, whose queue is full. */
  readonly full = new Set<string>();
  readonly machine: Machine<Port, Input, Call>;

  constructor(build: (outbox: Outbox<Port, Output, Event>) => Machine<Port, Input, Call>) {
    this.machine = build({
      open: (port, endpoint) => void this.sockets.push(`open ${port} ${endpoint}`),
      close: (port, flush) => void this.sockets.push(`close ${port}${flush ? ' flushed' : ''}`),
      send: (port, address, command) => {
        const to = address === '' ? port : address;
        if (this.full.has(to)) return false;
        this.sent.push({ to, command });
        return true;
      },
      store: () => {},
      emit: (event) => void this.events.push(event),
    });
  }

  /** Time passes. */
  wait(milliseconds: number): void {
    const until = this.now + milliseconds;
    while (this.machine.nextTimeout <= until) {
      this.now = Math.max(this.now, this.machine.nextTimeout);
      this.machine.handleTimeout(this.now);
    }
    this.now = until;
  }

  /** The process is stopped: time passes and nothing is handled until its end. */
  sleep(milliseconds: number): void {
    this.now += milliseconds;
    if (this.machine.nextTimeout <= this.now) this.machine.handleTimeout(this.now);
  }

  call(call: Call): void {
    this.machine.handleCall(this.now, call);
  }

  /** What was emitted of one type since it was last asked. */
  took<Type extends (Event extends { type: infer Name } ? Name : never)>(
    type: Type,
  ): Extract<Event, { type: Type }>[] {
    const isTaken = (event: Event): event is Extract<Event, { type: Type }> =>
      (event as { type: unknown }).type === type;
    const taken = this.events.filter(isTaken);
    this.events.splice(0, this.events.length, ...this.events.filter((event) => !isTaken(event)));
    return taken;
  }
}
