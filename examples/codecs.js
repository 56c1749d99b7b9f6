// @ts-check
// Values instead of bytes: JSON or MessagePack, agreed on for each service.
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from 'unsinkable';

const broker = new MajordomoBroker();
const endpoint = await broker.bind('tcp://127.0.0.1:*');

const greeter = new MajordomoWorker(
  'greet',
  (request) => {
    const { name } = /** @type {{ name: string }} */ (request.value());
    return { greeting: `hello, ${name}`, to: request.headers['language'] };
  },
  { codec: 'json' },
);
greeter.connect(endpoint);

// A big typed array travels in a frame of its own: nobody copies it into the message.
const scaler = new MajordomoWorker(
  'scale',
  (request) => {
    const { samples, factor } = /** @type {{ samples: Float32Array, factor: number }} */ (
      request.value()
    );
    return { samples: samples.map((sample) => sample * factor) };
  },
  { codec: 'msgpack' },
);
scaler.connect(endpoint);

const client = new MajordomoClient({ codecs: { greet: 'json', scale: 'msgpack' } });
client.connect(endpoint);

const greeting = await client.request('greet', { name: 'Ada' }, { headers: { language: 'en' } });
console.log(greeting.value());

const scaled = await client.request('scale', { samples: Float32Array.of(1, 2, 3), factor: 2 });
console.log(scaled.value());

for (const role of [client, greeter, scaler, broker]) await role.close();
