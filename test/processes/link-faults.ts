/** What can be done to links: the faults of a storm, by name, and the loss of one request. */
import type { Random } from '../../src/core/retry.ts';
import type { ChaosProxy, ChaosProxyCounters } from '../../src/testing/chaos-proxy.ts';
import { requireThat } from '../../src/testing/violation.ts';
import { until, type Links } from './links.ts';

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

/** Bytes of a request whose loss is looked for. */
const PAYLOAD = 20_000;

/** Lets a request run into a held link, and loses it there. */
export async function loseOn(
  links: Links,
  side: 'workers' | 'clients',
  way: 'up' | 'down',
): Promise<void> {
  const proxies = links[side].map(({ proxy }) => proxy);
  for (const proxy of proxies) proxy.pause(way);
  const asked = links.ask(links.clients[0]!, PAYLOAD);
  await until(() => proxies.some(({ heldBytes }) => heldBytes > PAYLOAD));
  const holding = proxies.find(({ heldBytes }) => heldBytes > PAYLOAD)!;
  holding.reset();
  for (const proxy of proxies) proxy.resume();
  await asked;
  const { bytesLost } = holding.counters;
  requireThat(bytesLost > PAYLOAD, 'lossy', () => `only ${bytesLost} bytes were lost`);
}
