// @ts-check
// A work queue: many inputs, an elastic pool of workers, results as they are asked for.
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

function startWorker() {
  const worker = new MajordomoWorker(
    'square',
    async (request) => {
      await delay(5);
      return String(Number(request.text()) ** 2);
    },
    { concurrency: 4 },
  );
  worker.connect(endpoint);
  return worker;
}

/** The inputs are read only as fast as there is room: they may be without end. */
function* numbers() {
  for (let number = 1; number <= 100; number++) {
    if (number === 50) workers.push(startWorker()); // the pool grows while it works
    yield String(number);
  }
}

const workers = [startWorker()];
const client = new MajordomoClient();
client.connect(endpoint);

let sum = 0;
for await (const reply of client.map('square', numbers(), { concurrency: 16 })) {
  sum += Number(reply.text());
}
console.log(`the sum of 100 squares is ${sum}`);

for (const role of [client, ...workers, broker]) await role.close();
