/** A worker's session as its broker should see it: what it takes, what it was given, what came back. */
import type { Failure } from '../../core/errors.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type { ReadyCommand } from '../../majordomo/wire/commands.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { agreed, PeerView } from './peer-view.ts';

/** One dispatch that a worker has not answered. */
export interface OpenDispatch {
  readonly worker: WorkerView;
  readonly number: number;
  /** What a stock worker sends back: the tag. */
  readonly tag: string;
  readonly request: PendingRequest;
  /** Heartbeats that had been sent before. */
  readonly sentAfter: number;
  /** When the worker last said something about it. */
  wordAt: Instant;
  parts: number;
  partBytes: number;
  cancelled: boolean;
}

/** A worker's session, as it can be told from what it said. */
export class WorkerView extends PeerView {
  readonly service: string;
  credit: number;
  stalled = false;
  /** What it last said that it has. */
  named: ReadonlySet<number> = new Set();
  readonly open = new Map<number, OpenDispatch>();

  constructor(now: Instant, from: Address, ready: ReadyCommand, settings: BrokerSettings) {
    super(
      now,
      from,
      ready.session,
      ready.session === undefined ? settings : agreed(settings, ready),
    );
    this.service = ready.service;
    this.credit = ready.credit ?? 1;
  }
}

/** What the last step took from a worker, for those who keep account of requests. */
export interface Returned {
  readonly dispatch: OpenDispatch;
  readonly how: 'answered' | 'handedBack' | 'lost';
  /** Of the whole answer, its parts included. */
  readonly bytes: number;
  /** What the handler said instead of a reply. */
  readonly failure: Failure | undefined;
}

/** True if the request has ended. */
export function isOver({ state }: PendingRequest): boolean {
  return state !== 'queued' && state !== 'inFlight';
}

/** The one frame of a stock envelope, as a text. */
export function tagOf(frame: Uint8Array): string {
  return Buffer.from(frame).toString('latin1');
}
