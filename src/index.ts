/** The whole public API. Each pattern also has an entry of its own, such as `unsinkable/majordomo`. */
export * from './clone/index.ts';
export * from './failover/index.ts';
export * from './freelance/index.ts';
export * from './majordomo/index.ts';
export * from './pirate/index.ts';
export * from './storage/index.ts';
export * from './titanic/index.ts';
