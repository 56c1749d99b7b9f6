/** The suite of a Majordomo pair on the simulator: a sample from a fixed seed, and every stored failure. */
import { testSimulation } from '../testing/simulation.ts';

testSimulation('majordomo-pair');
