/** A worker of a pair: as with one broker, and its keyed replies say which execution of the run they are. */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { PlannedWorker } from '../majordomo/plan.ts';
import { WorkerRole } from '../majordomo/worker-role.ts';
import { replyTo, type Work } from '../majordomo/work.ts';
import type { SimProcess } from '../sim-process.ts';
import type { WorkerChecker } from '../majordomo/worker-checker.ts';
import type { PairStage } from './stage.ts';
import { PairWorkerChecker } from './worker-checker.ts';

const MARK = 'execution';
const REPLY = 'reply to ';

export class PairWorkerRole extends WorkerRole {
  readonly #stage: PairStage;

  constructor(stage: PairStage, name: string, planned: PlannedWorker) {
    super(stage, name, planned, {
      bound: 'concurrency is kept',
      checker: () => new PairWorkerChecker(name, (what) => stage.count(what)),
      begins: (work, process, checker) => begin(stage, work, process, checker),
    });
    this.#stage = stage;
  }

  override drain(): void {
    this.#stage.keys.lost(this.process);
    super.drain();
  }

  override stop(): void {
    this.#stage.keys.lost(this.process);
    super.stop();
  }
}

function begin(stage: PairStage, work: Work, process: SimProcess, checker: WorkerChecker): Frames {
  const reply = replyTo(work);
  if (!isKeyed(work)) return reply;
  const id = checker instanceof PairWorkerChecker ? checker.arriving : undefined;
  const execution = stage.keys.began(work.name, process, id);
  return [...reply, encodeText(`${MARK} ${execution}`)];
}

/** What is asked under a key has the name of the key. */
export function isKeyed({ id, name }: Work): boolean {
  return id !== name;
}

/** What the work is called of which this is the reply; undefined for work without a key. */
export function keyedNameIn(body: Frames): string | undefined {
  if (unmark(body).mark === '') return undefined;
  const found = body
    .map((frame) => decodeText(frame.subarray(0, 64)))
    .find((text) => text.startsWith(REPLY));
  return found?.slice(REPLY.length);
}

/** Takes the mark of its execution off the reply to a keyed request. */
export function unmark(body: Frames): { readonly answer: Frames; readonly mark: string } {
  const last = body.at(-1);
  const mark = last === undefined ? '' : decodeText(last.subarray(0, 32));
  if (!mark.startsWith(MARK)) return { answer: body, mark: '' };
  return { answer: body.slice(0, -1), mark };
}
