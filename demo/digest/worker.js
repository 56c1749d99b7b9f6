// @ts-check
/**
 * A worker of the demos whose executions are counted: `node demo/digest/worker.js LOG ENDPOINT...`. It
 * may be killed: what it has done is in its log.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoWorker } from 'unsinkable';
import { endWithParent, tell } from '../lifeline.js';
import { openLog } from './logbook.js';
import { answerTo, numberIn } from './requests.js';

/** Milliseconds that a request takes: some more, some less, so that there is always one in hand. */
const WORK = { least: 5, spread: 40 };

endWithParent();
const [, , path = '', ...endpoints] = process.argv;
const log = openLog(path);
let executions = 0;

const worker = new MajordomoWorker(
  'digest',
  async (request) => {
    const number = numberIn(request.text());
    const execution = `${process.pid}.${executions++}`;
    log('begun', number, execution);
    void tell({ type: 'started', request: number });
    await delay(WORK.least + (number % WORK.spread));
    // Before the reply: what is not logged as ended cannot have been answered.
    log('ended', number, execution);
    void tell({ type: 'ended', request: number });
    return [answerTo(request.text()), execution];
  },
  { concurrency: 16 },
);
worker.connect(endpoints);
await worker.ready({ timeout: 60_000 });
await tell({ type: 'ready', endpoint: endpoints[0] ?? '' });
