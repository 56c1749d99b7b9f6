// zeromq.js at its fastest: sends are not awaited, and never fail for want of room.

export function rawSocket(Kind) {
  const socket = new Kind();
  socket.linger = 0;
  socket.sendTimeout = 0;
  socket.sendHighWaterMark = 0;
  socket.receiveHighWaterMark = 0;
  return socket;
}

/** Never returns; a failure ends the process. */
export async function forEachMessage(socket, handle) {
  for (;;) handle(await socket.receive());
}
