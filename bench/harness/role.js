// What all child processes have in common: options from the parent, calls from it, reports to it, and
// an end with it, however it ends.

/** What the parent passed to `Fleet.start`. */
export const options = JSON.parse(process.argv[2] ?? '{}');

export function tell(report) {
  process.send(report);
}

/** Says that this role is ready; from then on the parent may call `commands` by name. */
export function ready(result = {}, commands = {}) {
  process.on('message', (call) => void answer(call, commands));
  tell({ type: 'ready', result });
}

async function answer({ id, command, argument }, commands) {
  try {
    tell({ type: 'done', id, result: await commands[command](argument) });
  } catch (error) {
    tell({ type: 'failed', id, reason: error.stack });
  }
}

// Exiting, not being killed, is what makes node write a profile.
process.on('disconnect', () => process.exit());
if (!process.connected) process.exit();
// Ctrl-C reaches all processes of a terminal, and is for the parent to handle.
process.on('SIGINT', () => {});
