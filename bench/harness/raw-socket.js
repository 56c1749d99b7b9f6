// zeromq.js at its fastest: sends are not awaited, and never fail for want of room.

export function rawSocket(Kind) {
  const socket = new Kind();
  const settings = { linger: 0, sendTimeout: 0, sendHighWaterMark: 0, receiveHighWaterMark: 0 };
  // A PUB has nothing to receive, a SUB nothing to send.
  for (const [name, value] of Object.entries(settings)) if (name in socket) socket[name] = value;
  return socket;
}

/** Never returns; a failure ends the process. */
export async function forEachMessage(socket, handle) {
  for (;;) handle(await socket.receive());
}
