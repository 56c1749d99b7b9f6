// @ts-check
// A Paranoid Pirate queue and three workers, one of them another process that is killed at work: what it
// held goes to another worker, and every request is answered.
import { spawn } from 'node:child_process';
import { LazyPirateClient, ParanoidPirateQueue, ParanoidPirateWorker } from 'unsinkable/pirate';

/** @param {string} endpoint */
async function startWorker(endpoint) {
  const worker = new ParanoidPirateWorker((request) => request.text().toUpperCase());
  worker.connect(endpoint);
  await worker.ready();
  return worker;
}

// The doomed worker: this file again, with the endpoint as its argument.
const [, file = '', backendOfParent] = process.argv;
if (backendOfParent !== undefined) {
  const worker = new ParanoidPirateWorker(() => {
    process.stdout.write('at work');
    return new Promise(() => {}); // it never answers
  });
  worker.connect(backendOfParent);
} else {
  const queue = new ParanoidPirateQueue();
  const frontend = await queue.bindFrontend('tcp://127.0.0.1:*');
  const backend = await queue.bindBackend('tcp://127.0.0.1:*');
  queue.on('workerLost', ({ held }) => {
    if (held) console.log('a worker was lost with a request in its hands');
  });

  const doomed = spawn(process.execPath, [file, backend]);
  const workers = await Promise.all([startWorker(backend), startWorker(backend)]);
  doomed.stdout.once('data', () => doomed.kill('SIGKILL'));
  while (queue.status().workers < 3) {
    await new Promise((resolve) => queue.once('workerReady', resolve));
  }

  const client = new LazyPirateClient();
  client.connect(frontend);
  const texts = Array.from({ length: 100 }, (_, index) => `request ${index}`);
  const replies = await Promise.all(texts.map((text) => client.request(text)));
  const right = replies.filter((reply, index) => reply.text() === texts[index]?.toUpperCase());
  console.log(
    `${right.length} of ${texts.length} replies, ${queue.status().events.requestRequeued} asked again`,
  );

  for (const role of [client, ...workers, queue]) await role.close();
}
