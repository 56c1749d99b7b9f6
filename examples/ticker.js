// @ts-check
// A price ticker that loses nothing. Its link is cut in the middle of the morning, and one subscriber comes
// late: both have every price, in order, as if nothing had been.
import { ReplayPublisher, ReplaySubscriber } from 'unsinkable/clone';
import { ChaosProxy } from 'unsinkable/testing';

const PRICES = 300;

const ticker = new ReplayPublisher({ historyLimit: 1000 });
const { port } = new URL(await ticker.bind('tcp://127.0.0.1:*'));
// What stands between a publisher and its subscribers in real life: a network that breaks.
const link = await ChaosProxy.open({ port: Number(port) });
const endpoint = `tcp://127.0.0.1:${link.port}`;

const early = new ReplaySubscriber({ topics: ['prices/'], from: 'oldest' });
let isCut = false;
early.on('disconnected', () => {
  if (!isCut) console.log('the link was cut');
  isCut = true;
});
early.connect(endpoint);
await early.ready();

/**
 * Until all prices are there: how many, and whether each is the one after the one before.
 * @param {ReplaySubscriber} subscriber
 */
async function collect(subscriber) {
  const prices = [];
  for await (const message of subscriber) {
    prices.push(Number(message.text()));
    if (prices.length === PRICES) break;
  }
  return prices.every((price, index) => price === index) ? `${prices.length}, in order` : 'no';
}

const collecting = collect(early);
for (let price = 0; price < PRICES; price++) {
  ticker.publish('prices/ACME', `${price}`);
  ticker.publish('volumes/ACME', '1000');
  if (price === PRICES / 2) link.reset();
  if (price % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
console.log(`who was there: ${await collecting}`);

// Whoever comes late begins with the oldest price there is, and then follows like anybody.
const late = new ReplaySubscriber({ topics: ['prices/'], from: 'oldest' });
late.connect(endpoint);
console.log(`who came late: ${await collect(late)}`);

for (const role of [early, late, ticker, link]) await role.close();
