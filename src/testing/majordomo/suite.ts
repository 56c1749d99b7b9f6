/** The Majordomo suite: its plans, and what must have happened for it to count. */
import type { Suite } from '../suite.ts';
import { majordomoPlans, type MajordomoPlan } from './plan.ts';
import { runMajordomoPlan } from './run.ts';

export const majordomoSuite: Suite<MajordomoPlan> = {
  name: 'majordomo',
  plans: majordomoPlans,
  run: runMajordomoPlan,
  probes: [],
  cells: [],
};
