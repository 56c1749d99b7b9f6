/** What is special to a feed whose content is a map: keys are paths, and there are snapshots. */
import { forEachSubtree, isUnder, overlap } from '../key.ts';
import type { FeedContent, WriterState } from '../stream/content.ts';
import type { Entries } from './entries.ts';

/** @param writers what a backup is told of those who write */
export function mapContent(
  entries: Entries,
  writers: { snapshot(): Iterable<WriterState> },
): FeedContent {
  return {
    concerns: (subtree, { kind, key }) =>
      kind === 'clear' ? overlap(subtree, key) : isUnder(subtree, key),
    forEachSubtree,
    snapshots: {
      costOf: (subtree) => entries.costOf(subtree),
      digestsOf: (subtrees) => entries.digestsOf(subtrees),
      walk: (subtree, since) => entries.walk(subtree, since),
      writers: () => writers.snapshot(),
    },
  };
}
