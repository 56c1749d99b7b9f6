// @ts-check
// A live configuration store: ten processes hold it, and what one of them changes all others see at once. Each has
// the whole map in its own memory, so that reading costs nothing. Which of them run is in the store, too, and
// a process that dies disappears from it.
import { fork } from 'node:child_process';
import { CloneClient, CloneServer } from 'unsinkable/clone';

const PROCESSES = 10;
/** Milliseconds for which a process counts as running after it has last said so. */
const TTL = 2000;

const [, file = '', endpoint, name] = process.argv;
await (endpoint === undefined ? supervise() : serve(endpoint));

/** One of the ten: counts itself, says that it runs, and follows the configuration. @param {string} store */
async function serve(store) {
  const config = new CloneClient({ codec: 'json' });
  config.connect(store);
  await config.synchronised();
  // Compare-and-set: ten do this at the same time, and none is lost.
  await config.update('/config/started', (count) => Number(count ?? 0) + 1);
  const alive = () => config.set(`/running/${name}`, process.pid, { ttl: TTL, timeout: TTL });
  await alive();
  // While no server takes it, it counts as gone; it is back as soon as one does.
  setInterval(() => void alive().catch((error) => console.error(String(error))), TTL / 4);
  for await (const { key, value } of config.watch('/config/rate', { initial: true })) {
    await config.set(`/seen/${name}`, `${key} is ${String(value)}`);
  }
}

async function supervise() {
  const server = new CloneServer();
  const store = await server.bind('tcp://127.0.0.1:*');
  const config = new CloneClient({ codec: 'json' });
  config.connect(store);
  await config.synchronised();
  const processes = Array.from({ length: PROCESSES }, (_, index) =>
    fork(file, [store, `${index}`]),
  );

  const running = config.subtree('/running/');
  const seen = config.subtree('/seen/');
  await changed(config, () => running.size === PROCESSES);
  console.log(
    `${running.size} processes run, and ${String(config.get('/config/started'))} were counted`,
  );

  await config.set('/config/rate', 200);
  const isSeen = () => [...seen.values()].filter((text) => text === '/config/rate is 200').length;
  await changed(config, () => isSeen() === PROCESSES);
  console.log(`${isSeen()} have seen that the rate is ${String(config.get('/config/rate'))}`);

  processes[3]?.kill('SIGKILL');
  await changed(config, () => running.size < PROCESSES);
  console.log(
    `one was killed: ${running.size} are left, and /running/3 is there: ${running.has('/running/3')}`,
  );

  for (const child of processes) child.kill();
  for (const role of [config, server]) await role.close();
}

/**
 * Resolves when the condition holds.
 * @param {CloneClient<unknown>} config @param {() => boolean} condition
 */
async function changed(config, condition) {
  for await (const _ of config.watch('', { initial: true })) if (condition()) return;
}
