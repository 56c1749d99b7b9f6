// @ts-check
/** The broker process of the demos: `node demo/broker.js ENDPOINT [LIVENESS]`. It will be killed. */
import { MajordomoBroker } from 'unsinkable';
import { endWithParent, tell } from './lifeline.js';

endWithParent();
const broker = new MajordomoBroker({
  // Every kill costs one attempt of each request it hits: here that is no sign of a bad request.
  maxAttempts: 10,
  heartbeatLiveness: Number(process.argv[3] ?? 3),
  // A request may be one large file.
  queueBytes: 2 ** 30,
});
broker.on('requestRequeued', () => void tell({ type: 'requeued' }));
const endpoint = await broker.bind(process.argv[2] ?? 'tcp://127.0.0.1:*');
await tell({ type: 'ready', endpoint });
