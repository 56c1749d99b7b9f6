/**
 * `unsinkable/testing`: the simulator, the fault-injection suites, the chaos proxy and the history
 * checkers. Needs fast-check, an optional peer dependency.
 */
export * from './chaos-proxy.ts';
export * from './effects.ts';
export * from './history.ts';
export * from './laws.ts';
export * from './sim-network.ts';
export * from './sim-process.ts';
export * from './sim-world.ts';
export * from './storage-laws.ts';
export * from './suite.ts';
export * from './suites.ts';
export * from './transcript.ts';
export * from './violation.ts';
export * from './watched-machine.ts';
