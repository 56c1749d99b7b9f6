// @ts-check
/** The demo's broker process: `node demo/broker.js ENDPOINT`. It will be killed. */
import { MajordomoBroker } from 'unsinkable';
import { endWithParent, tell } from './lifeline.js';

endWithParent();
const broker = new MajordomoBroker({
  // Every kill costs one attempt of each request it hits: here that is no sign of a bad request.
  maxAttempts: 10,
  // A request may be one large file.
  queueBytes: 2 ** 30,
});
broker.on('requestRequeued', () => void tell({ type: 'requeued' }));
const endpoint = await broker.bind(process.argv[2] ?? 'tcp://127.0.0.1:*');
await tell({ type: 'ready', endpoint });
