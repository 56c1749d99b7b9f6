// @ts-check
/**
 * What the demo's child processes have in common: they tell their parent what they do, and end with
 * it, however it ends.
 *
 * @typedef {{ type: 'ready', endpoint: string }
 *   | { type: 'started', request: number }
 *   | { type: 'ended', request: number }
 *   | { type: 'requeued' }
 *   | { type: 'serving', epoch: number }
 *   | { type: 'followed', isFollowed: boolean }} Report `serving`: as the active one of a pair, 0 when it does not any
 *   more; `followed`: the other one has all that this one has
 */

/**
 * Tells the parent. Resolves when the report has left this process: a kill cannot take it back.
 * @param {Report} report
 * @returns {Promise<void>}
 */
export function tell(report) {
  return new Promise((resolve) => process.send?.(report, () => resolve()));
}

/**
 * @param {unknown} message
 * @returns {message is Report}
 */
export function isReport(message) {
  return typeof message === 'object' && message !== null && 'type' in message;
}

/** Ends this process when its parent is gone; Ctrl-C is for the parent to handle. */
export function endWithParent() {
  process.on('disconnect', () => process.exit());
  // It may have gone before this line was reached.
  if (!process.connected) process.exit();
  process.on('SIGINT', () => {});
}
