/** What a fact is: a sentence, and what must hold in every world that it applies to. */
import type { World } from './world.ts';

export type Facts = Readonly<Record<string, (world: World) => Promise<void>>>;
