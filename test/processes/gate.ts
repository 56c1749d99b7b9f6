/** A handler whose replies wait until the test lets them go. */

/** Requests wait in the worker's hands until they are let go. */
export class Gate {
  /** How often a request came here. */
  arrived = 0;
  #open: (() => void)[] = [];

  readonly pass = async (): Promise<string> => {
    this.arrived++;
    await new Promise<void>((resolve) => this.#open.push(resolve));
    return 'through';
  };

  open(): void {
    for (const open of this.#open.splice(0)) open();
  }
}
