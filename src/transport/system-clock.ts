/** The real clock: `performance.now`, `setTimeout`, and the end of the current event-loop turn. */
import type { Clock } from './transport.ts';

/** setTimeout's largest delay; a longer wait is cut into pieces by the driver arming again. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wakeAt(at, callback) {
    const timer = setTimeout(callback, Math.min(LONGEST, Math.max(0, Math.ceil(at - this.now()))));
    return () => clearTimeout(timer);
  },
  // nextTick runs when the microtasks are done: all messages at hand were received by then.
  atTurnEnd: (callback) => process.nextTick(callback),
};
