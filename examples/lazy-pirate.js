// @ts-check
// Reliability at the client alone: plain zeromq servers that know nothing of this library. One dies with
// the request in its hands; the client asks the next one, on a fresh socket.
import { LazyPirateClient } from 'unsinkable/pirate';
import { Reply } from 'zeromq';

const doomed = new Reply();
await doomed.bind('tcp://127.0.0.1:*');
void doomed.receive().then(() => doomed.close());

const steady = new Reply();
await steady.bind('tcp://127.0.0.1:*');
void steady.receive().then(([text]) => steady.send(String(text).toUpperCase()));

const client = new LazyPirateClient({ noticeGrace: 100 });
client.connect([String(doomed.lastEndpoint), String(steady.lastEndpoint)]);
client.on('retry', ({ attempt }) => console.log(`try ${attempt}`));

const reply = await client.request('hello');
console.log(reply.text());

await client.close();
steady.close();
