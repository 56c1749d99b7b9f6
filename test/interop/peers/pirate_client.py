"""A strict client of a Pirate queue: a REQ socket, or a DEALER with any envelope."""

from __future__ import annotations

import argparse
import json

import zmq

import peer
import ppp
from peer import ProtocolViolation, Waiter, emit, now_ms, texts
from ppp import Message


class Client:
    """Sends requests in turn or all at once; on a new socket after each timeout."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self._endpoint: str = options.connect
        self._kind: str = options.socket
        self._ids: int = options.ids
        self._timeout: float = options.timeout
        self._tries: int = options.retries + 1
        self._open: list[list[bytes]] = []  # envelopes of what is not answered
        self._sent = 0
        self._context = context
        self._waiter = waiter
        self._connect()

    def _connect(self) -> None:
        self._peer = peer.open_socket(self._context, zmq.REQ if self._kind == "req" else zmq.DEALER)
        self._peer.connect(self._endpoint)

    def send(self, body: list[bytes]) -> None:
        """Sends one request; a REQ socket writes and reads the null terminator itself."""
        self._sent += 1
        stack = [f"{self._sent}.{depth}".encode() for depth in range(self._ids)]
        envelope = [*stack, b""] if self._kind == "dealer" else []
        self._open.append(envelope)
        self._peer.send_multipart(Message(envelope, body).frames())

    def receive(self) -> bool:
        """Prints one reply; False when the time is up or the program must end."""
        if not self._waiter.wait(self._peer, now_ms() + self._timeout):
            return False
        frames = self._peer.recv_multipart()
        reply = ppp.parse_message(frames) if self._kind == "dealer" else Message([], frames)
        if reply.envelope not in self._open:
            raise ProtocolViolation(f"a reply to nothing: {frames!r}, open: {self._open!r}")
        self._open.remove(reply.envelope)
        emit(json.dumps({"stack": texts(reply.envelope[:-1]), "body": texts(reply.content)}))
        return True

    def ask(self, body: list[bytes]) -> bool:
        """Sends one request as often as allowed until it is answered."""
        for attempt in range(self._tries):
            if attempt:
                self._peer.close()
                self._open.clear()
                self._connect()
            self.send(body)
            if self.receive():
                return True
            if self._waiter.stopped_by:
                return False
        return False


def ask_at_once(client: Client, requests: list[list[bytes]]) -> bool:
    """All requests first, then as many replies, without retry."""
    for body in requests:
        client.send(body)
    return all(client.receive() for _ in requests)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connect", metavar="ENDPOINT", required=True)
    parser.add_argument(
        "--socket",
        choices=("req", "dealer", "bare"),
        default="req",
        help="bare: a DEALER that writes no empty frame",
    )
    parser.add_argument("--ids", type=int, default=0, metavar="N", help="addresses in the stack (dealer only)")
    parser.add_argument("--timeout", type=int, default=2500, metavar="MS", help="per try")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="tries after the first")
    parser.add_argument("--rate-free", action="store_true", help="send all requests before reading (not req)")
    peer.add_requests(parser)
    options = parser.parse_args()
    if options.ids and options.socket != "dealer":
        parser.error("--ids need a dealer socket")
    if options.rate_free and options.socket == "req":
        parser.error("--rate-free needs a dealer socket")
    return options


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Sends the requests and reports how it went."""
    options = parse_options()
    client = Client(options, context, waiter)
    requests = peer.bodies(options)
    answered = ask_at_once(client, requests) if options.rate_free else all(map(client.ask, requests))
    return peer.exit_code(answered, waiter)


if __name__ == "__main__":
    peer.run(main)
