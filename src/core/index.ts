/** `unsinkable/core`: the pure base that every pattern stands on. */
export * from './body.ts';
export * from './bounded-queue.ts';
export * from './codec.ts';
export * from './deadlines.ts';
export * from './errors.ts';
export * from './fingerprint.ts';
export * from './frames.ts';
export * from './heartbeat.ts';
export * from './logger.ts';
export * from './machine.ts';
export * from './number-map.ts';
export * from './options.ts';
export * from './random.ts';
export * from './reconciliation.ts';
export * from './retry.ts';
