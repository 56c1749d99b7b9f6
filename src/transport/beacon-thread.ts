/**
 * The thread of `beacon.ts`: sends one small message for each session and interval, and says in it for
 * how long the counter of the other thread has not moved.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { CELLS, TURN, type BeaconOrder, type BeaconSession } from './beacon.ts';
import { openSender, type Sender } from './zeromq.ts';

/** One socket for all sessions with one broker. */
interface Line {
  readonly sender: Sender;
  sessions: number;
}

interface Speaker {
  readonly line: Line;
  readonly endpoint: string;
  readonly timer: NodeJS.Timeout;
}

const cells: Int32Array = workerData;
const lines = new Map<string, Line>();
const speakers = new Map<string, Speaker>();
let lastTurn = Atomics.load(cells, CELLS.turns);
let turnedAt = performance.now();

const watch = setInterval(look, TURN);
parentPort!.on('message', (order: BeaconOrder) => act(() => obey(order)));
act(() => undefined);

/** Does something with zeromq, unless the process ends: then it is too late. */
function act(action: () => void): void {
  Atomics.store(cells, CELLS.isBusy, 1);
  try {
    if (Atomics.load(cells, CELLS.isOver) === 0) action();
  } finally {
    Atomics.store(cells, CELLS.isBusy, 0);
    Atomics.notify(cells, CELLS.isBusy);
  }
}

function look(): void {
  const turn = Atomics.load(cells, CELLS.turns);
  if (turn === lastTurn) return;
  lastTurn = turn;
  turnedAt = performance.now();
}

function obey(order: BeaconOrder): void {
  if (order.type === 'open') return open(order.session, order.settings);
  if (order.type === 'close') return close(order.session);
  for (const session of speakers.keys()) close(session);
  clearInterval(watch);
  // Nothing else keeps this thread: it ends by itself.
  parentPort!.close();
}

function open(session: string, settings: BeaconSession): void {
  const { endpoint, interval } = settings;
  close(session);
  const line = lines.get(endpoint) ?? { sender: openSender(endpoint), sessions: 0 };
  line.sessions++;
  lines.set(endpoint, line);
  const timer = setInterval(() => act(() => speak(line.sender, settings)), interval);
  speakers.set(session, { line, endpoint, timer });
}

function close(session: string): void {
  const speaker = speakers.get(session);
  if (speaker === undefined) return;
  speakers.delete(session);
  clearInterval(speaker.timer);
  const { line, endpoint } = speaker;
  line.sessions--;
  if (line.sessions > 0) return;
  lines.delete(endpoint);
  line.sender.close();
}

function speak(sender: Sender, { message, stuckAt }: BeaconSession): void {
  look();
  const still = Math.floor(performance.now() - turnedAt);
  // A copy: what was sent before may still be on its way.
  const frame = new Uint8Array(message);
  let rest = still < 3 * TURN ? 0 : still;
  for (let index = stuckAt; index < frame.byteLength; index++) {
    frame[index] = (rest % 128) | (index < frame.byteLength - 1 ? 128 : 0);
    rest = Math.floor(rest / 128);
  }
  sender.send(frame);
}
