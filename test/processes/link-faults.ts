/** The faults of a storm: what can be done to a link, by name. */
import type { Random } from '../../src/core/retry.ts';
import type { ChaosProxy, ChaosProxyCounters } from '../../src/testing/chaos-proxy.ts';

export interface LinkFault {
  readonly name: string;
  strike(proxy: ChaosProxy, random: Random): void;
}

const directionOf = (random: Random): 'up' | 'down' => (random() < 0.5 ? 'up' : 'down');

const FAULTS: readonly LinkFault[] = [
  {
    name: 'latency',
    strike: (proxy, random) => proxy.shape({ latency: 20 * random(), jitter: 20 * random() }),
  },
  {
    name: 'bandwidth',
    strike: (proxy, random) => proxy.shape({ bandwidth: 5 + 50 * random() }, directionOf(random)),
  },
  { name: 'reset', strike: (proxy) => void proxy.reset() },
  { name: 'half reset', strike: (proxy) => void proxy.reset({ side: 'client' }) },
  { name: 'reset of one', strike: (proxy) => void proxy.reset({ connections: 'one' }) },
  { name: 'hold', strike: (proxy, random) => proxy.pause(directionOf(random)) },
  { name: 'pause', strike: (proxy) => proxy.pause() },
  {
    name: 'stall',
    strike: (proxy) => {
      proxy.stall();
      proxy.reset();
    },
  },
  {
    name: 'refusal',
    strike: (proxy) => {
      proxy.refuse();
      proxy.reset();
    },
  },
  {
    name: 'cut',
    strike: (proxy, random) => proxy.cutAfter(Math.ceil(500 * random()), directionOf(random)),
  },
];

/** A swarm: some of all faults, at least one, each as likely as the others. */
export function pickFaults(random: Random): readonly LinkFault[] {
  const some = FAULTS.filter(() => random() < 0.5);
  return some.length > 0 ? some : FAULTS;
}

/** What all these proxies counted of one kind. */
export function sum(proxies: readonly ChaosProxy[], counter: keyof ChaosProxyCounters): number {
  return proxies.reduce((total, { counters }) => total + counters[counter], 0);
}
