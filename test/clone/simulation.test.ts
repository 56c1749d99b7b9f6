/** The Clone suite on the simulator: a sample from a fixed seed, and every stored failure. */
import { testSimulation } from '../testing/simulation.ts';

testSimulation('clone');
