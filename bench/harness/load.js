// Keeps so many requests in flight for a while, and counts and times them.

/** Seconds that are not counted, at the beginning of each measurement. */
const LEAD = 0.3;

/** One measurement of `seconds`; times are milliseconds. */
export class Stopwatch {
  total = 0;
  #latencies = [];
  #begin;
  #end;
  #seconds;

  constructor(seconds) {
    this.#seconds = seconds;
    this.#begin = performance.now() + LEAD * 1000;
    this.#end = this.#begin + seconds * 1000;
  }

  /** A request that was sent at `sent` has its reply at `now`. False: the time is over. */
  lap(sent, now) {
    this.total++;
    if (now >= this.#end) return false;
    if (now >= this.#begin) this.#latencies.push(now - sent);
    return true;
  }

  result() {
    const sorted = Float64Array.from(this.#latencies).toSorted();
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    return {
      requests: sorted.length,
      total: this.total,
      rate: sorted.length / this.#seconds,
      p50: at(0.5),
      p99: at(0.99),
      max: at(1),
    };
  }
}

/** For peers with promises: `ask` is called again as soon as it has resolved, `inFlight` times over. */
export async function measure({ inFlight, seconds }, ask) {
  const watch = new Stopwatch(seconds);
  async function slot() {
    let sent = performance.now();
    for (;;) {
      await ask();
      const now = performance.now();
      if (!watch.lap(sent, now)) return;
      sent = now;
    }
  }
  await Promise.all(Array.from({ length: inFlight }, slot));
  return watch.result();
}

/**
 * For peers with callbacks, whose replies come in the order of the requests: `send` sends one, and the
 * returned `reply` is to be called at each reply.
 */
export function measureInOrder({ inFlight, seconds }, send) {
  const watch = new Stopwatch(seconds);
  const sent = new Float64Array(inFlight);
  let oldest = 0;
  let outstanding = inFlight;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const ask = (slot, now) => {
    sent[slot] = now;
    send();
  };
  function reply() {
    const now = performance.now();
    // The oldest request is answered first, and the next one takes its place.
    if (watch.lap(sent[oldest], now)) ask(oldest, now);
    else if (--outstanding === 0) finish(watch.result());
    oldest = (oldest + 1) % inFlight;
  }
  for (let slot = 0; slot < inFlight; slot++) ask(slot, performance.now());
  return { finished, reply };
}
