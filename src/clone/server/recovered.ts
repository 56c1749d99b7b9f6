/** What a former life left in the store becomes what a server begins with. */
import type { PipelineParts } from './pipeline.ts';
import type { Recovery } from './records.ts';

/** Before anything else happens. @param wallClock what the wall clock shows more than the machine's */
export function applyRecovery(
  { records, sequence, reigns, writers: states, holds, unused }: Recovery,
  { publication, writers, storeDesk }: PipelineParts,
  wallClock: number,
): void {
  const { entries, history, lineage, feed } = publication;
  for (const { key, value, revision, ttl, expiresAt } of records) {
    const until = expiresAt === undefined ? Infinity : expiresAt - wallClock;
    entries.set({ key, value, revision, ttl, expiresAt: until });
  }
  history.restart(sequence);
  lineage.replace(reigns);
  feed.channels.restart();
  // What time it is, is known once it serves.
  for (const state of states) writers.learn(Infinity, state);
  storeDesk.resume(sequence, holds, unused);
}
