// @ts-check
// A reply in parts: the worker writes them as it goes, the client reads them as they come. A slow
// reader slows the worker: `write` resolves when there is room for another part.
import { setTimeout as delay } from 'node:timers/promises';
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

const worker = new MajordomoWorker('countdown', async (request) => {
  for (let number = Number(request.text()); number > 0; number--) {
    await request.write(String(number));
    await delay(20);
  }
  return 'lift-off';
});
worker.connect(endpoint);

const client = new MajordomoClient();
client.connect(endpoint);

for await (const part of client.stream('countdown', '3')) {
  console.log(part.text(), part.final ? '(the end)' : '');
}

// Who does not want parts gets them joined, in one reply.
const whole = await client.request('countdown', '3');
console.log(whole.body.length, 'frames in one reply');

for (const role of [client, worker, broker]) await role.close();
