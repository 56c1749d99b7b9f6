/** How every shell closes: ask the machine to drain, stop it when that takes too long, then leave. */
import type { Clock } from './transport.ts';

export interface Closable {
  call(call: { readonly type: 'drain' | 'stop' }): void;
  close(done: () => void): void;
}

/**
 * @param drained settles when the machine has told `drained`, which it does at once after `stop`
 * @param drainTimeout milliseconds
 */
export async function drainAndClose(
  driver: Closable,
  clock: Clock,
  drainTimeout: number,
  drained: Promise<void>,
): Promise<void> {
  const giveUp = clock.wakeAt(clock.now() + drainTimeout, () => driver.call({ type: 'stop' }));
  driver.call({ type: 'drain' });
  await drained;
  giveUp();
  await new Promise<void>((resolve) => driver.close(resolve));
}

/** A promise and the function that fulfils it. */
export function signal(): { readonly promise: Promise<void>; readonly fire: () => void } {
  let fire!: () => void;
  const promise = new Promise<void>((resolve) => (fire = resolve));
  return { promise, fire };
}
