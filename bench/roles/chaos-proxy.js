// A TCP proxy that resets its connections when it is told to.
import { ChaosProxy } from 'unsinkable/testing';
import { now } from '../harness/clock.js';
import { options, ready } from '../harness/role.js';

const proxy = await ChaosProxy.open({ port: Number(new URL(options.endpoint).port) });

ready(
  { endpoint: `tcp://127.0.0.1:${proxy.port}` },
  {
    reset: () => {
      const at = now();
      proxy.reset();
      return at;
    },
  },
);
