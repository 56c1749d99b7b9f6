/** What the desk for stock peers sees of its server: the public map, and a way into it. */
import { EMPTY_FRAME } from '../../core/frames.ts';
import type { ServerStanding } from '../../core/server-standing.ts';
import type { Update } from '../stream/update.ts';
import type { Pipeline } from './pipeline.ts';
import type { Publication } from './publication.ts';
import type { StockDesk, StockState } from './stock-desk.ts';

export function stockStateOf(
  { entries, history }: Publication,
  standing: ServerStanding,
  pipeline: Pipeline,
): StockState {
  return {
    get published() {
      return entries.map;
    },
    get sequence() {
      return history.published;
    },
    get isActive() {
      return standing.isActive;
    },
    stage: (now, { value, ...write }) => {
      const frames = write.kind === 'set' ? [value] : [];
      return pipeline.stage(now, { ...write, value: frames }) === undefined;
    },
  };
}

/** This is public now: stock clients are told, too. */
export function tellStock(desk: StockDesk, update: Update): void {
  const { kind, key, sequence, ttl, uuid, value } = update;
  // A clear from before they were served: its keys have no numbers of their own.
  if (!desk.isServing || kind === 'clear') return;
  const [bytes = EMPTY_FRAME] = value;
  desk.handlePublished({ kind, key, sequence, ttl, uuid, value: bytes });
}
