/** All suites by name: what `npm test` samples and `unsinkable chaos` runs at length. */
import { cloneSuite } from './clone/suite.ts';
import { failoverSuite } from './failover/suite.ts';
import { freelanceSuite } from './freelance/suite.ts';
import { majordomoSuite } from './majordomo/suite.ts';
import { pairSuite } from './majordomo-pair/suite.ts';
import { pirateSuite } from './pirate/suite.ts';
import { replaySuite } from './replay/suite.ts';
import type { Suite } from './suite.ts';
import { titanicSuite } from './titanic/suite.ts';

export const suites: Readonly<Record<string, Suite<unknown>>> = {
  clone: forgetPlan(cloneSuite),
  failover: forgetPlan(failoverSuite),
  freelance: forgetPlan(freelanceSuite),
  majordomo: forgetPlan(majordomoSuite),
  'majordomo-pair': forgetPlan(pairSuite),
  pirate: forgetPlan(pirateSuite),
  replay: forgetPlan(replaySuite),
  titanic: forgetPlan(titanicSuite),
};

/** A suite whose plans are opaque: they come from its own generator, or from its own stored runs. */
function forgetPlan<Plan>(suite: Suite<Plan>): Suite<unknown> {
  return { ...suite, run: (plan, transcript) => suite.run(plan as Plan, transcript) };
}
