// @ts-check
// Three servers and no broker: the client goes on with the next when one is lost, and asks a second one
// when an answer is late.
import { setTimeout as delay } from 'node:timers/promises';
import { FreelanceClient, FreelanceServer } from 'unsinkable/freelance';

let pause = 0;

/** @param {string} name */
async function startServer(name) {
  const server = new FreelanceServer(async (request) => {
    // Its signal aborts when the client has left: then nobody waits for the answer.
    if (name === 'second') await delay(pause, undefined, { signal: request.signal });
    return `${request.text()} from the ${name}`;
  });
  return { server, endpoint: await server.bind('tcp://127.0.0.1:*') };
}

const servers = await Promise.all(['first', 'second', 'third'].map(startServer));
const client = new FreelanceClient();
client.connect(servers.map(({ endpoint }) => endpoint));
client.on('hedge', () => console.log('(late: the next server is asked as well)'));
while (client.servers().some(({ state }) => state !== 'live')) await delay(5);

console.log((await client.request('hello')).text());

// Failover: what the first server cannot answer any more, the second one does.
await servers[0]?.server.close();
console.log((await client.request('hello')).text());

// Hedging: once the client knows how long answers take, it does not wait for one that takes far longer.
for (let count = 0; count < 50; count++) await client.request('hello');
pause = 60_000;
console.log((await client.request('hello', { hedge: true })).text());

for (const role of [client, ...servers.map(({ server }) => server)]) await role.close();
