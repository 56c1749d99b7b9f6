/** The whole public API. Each pattern also has an entry of its own, such as `unsinkable/majordomo`. */
export * from './majordomo/index.ts';
