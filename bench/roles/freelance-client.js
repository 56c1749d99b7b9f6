// Our Freelance client: sends one request when it is told to, and tells how many servers are live.
import { FreelanceClient } from 'unsinkable';
import { options, ready } from '../harness/role.js';

const client = new FreelanceClient(options.client);
client.connect(options.endpoints);
await client.ready();

/** Resolves when so many servers are live. */
function live(count) {
  const isEnough = () => client.servers().filter(({ state }) => state === 'live').length >= count;
  if (isEnough()) return undefined;
  return new Promise((resolve) => {
    const look = () => {
      if (!isEnough()) return;
      client.off('serverLive', look);
      resolve();
    };
    client.on('serverLive', look);
  });
}

ready(
  {},
  {
    live,
    ask: async (trial) => {
      await client.request(String(trial), { timeout: 60_000, attemptTimeout: 60_000 });
    },
  },
);
