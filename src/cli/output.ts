/** stdout and stderr, whose readers may leave at any time (`| head`). */

/** Nobody reads stdout any more: the command ends quietly. */
export class OutputClosed extends Error {}

// Both report a failed write also as an event, which would end the process if nobody listened.
process.stdout.on('error', ignore);
process.stderr.on('error', ignore);

/**
 * Writes to stdout; resolves when the text or the bytes were taken.
 * @throws OutputClosed if the reader has left
 */
export async function writeOutput(data: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(isGone(error) ? new OutputClosed() : error);
    });
  });
}

/** Writes to stderr, if anybody is there to read it. */
export function writeError(text: string): void {
  process.stderr.write(text);
}

function isGone(error: Error): boolean {
  const code = 'code' in error ? error.code : undefined;
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED';
}

function ignore(): void {
  // Each write learns of its own failure; of stderr there is nobody left to tell.
}
