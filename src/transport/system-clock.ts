/** The real clock: `performance.now`, `setTimeout`, and the end of the current event-loop turn. */
import type { Clock } from './transport.ts';

/** setTimeout's largest delay; a longer wait is made in pieces. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wakeAt(at, callback) {
    let timer: NodeJS.Timeout | undefined;
    const wait = (): void => {
      const left = Math.max(0, Math.ceil(at - performance.now()));
      timer = setTimeout(left > LONGEST ? wait : callback, Math.min(left, LONGEST));
    };
    if (at < Infinity) wait();
    return () => clearTimeout(timer);
  },
  // nextTick runs when the microtasks are done: all messages at hand were received by then.
  atTurnEnd: (callback) => process.nextTick(callback),
};
