"""A strict Freelance client, written from 10/FLP: a ROUTER that addresses servers by their endpoints."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass

import zmq

import flp
import peer
from flp import Message
from peer import ProtocolViolation, Waiter, emit, now_ms, texts


@dataclass
class Server:
    """What is known of one server."""

    endpoint: str
    expires: float = -math.inf  # it has not said anything yet

    @property
    def is_live(self) -> bool:
        return now_ms() < self.expires


class Client:
    """Pings all servers; asks the first live one, again when that is lost or says nothing."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self._servers = {endpoint.encode(): Server(endpoint) for endpoint in options.connect}
        self._heartbeat: float = options.heartbeat
        self._patience: float = options.heartbeat * peer.DEFAULT_LIVENESS
        self._timeout: float = options.timeout
        self._retry: float = options.retry
        self._sent: dict[bytes, bytes] = {}  # control frame to the server that was asked
        self._ping_due = now_ms()
        self._waiter = waiter
        self._router = peer.open_socket(context, zmq.ROUTER)
        for endpoint in options.connect:
            self._router.connect(endpoint)

    def ask(self, body: list[bytes]) -> bool:
        """Prints the reply to one request; False when the time is up or the program must end."""
        deadline = now_ms() + self._timeout
        control, retry = b"", -math.inf
        while now_ms() < deadline and not self._waiter.stopped_by:
            self._ping_if_due()
            asked = self._servers.get(self._sent.get(control, b""))
            if asked is None or not asked.is_live or now_ms() >= retry:
                control = self._send(body) or control
                retry = now_ms() + self._retry
            expiries = [server.expires for server in self._servers.values() if server.is_live]
            if not self._waiter.wait(self._router, min(deadline, self._ping_due, retry, *expiries)):
                continue
            address, reply = self._receive()
            if reply is not None and reply.control == control:
                emit(json.dumps({"server": address.decode(), "body": texts(reply.body)}))
                return True
        return False

    def _ping_if_due(self) -> None:
        """To a server that is not connected yet, the ROUTER drops it."""
        if now_ms() >= self._ping_due:
            for address in self._servers:
                self._router.send_multipart([address, flp.PING])
            # Often at first: nobody can be asked before the first pong.
            live = any(server.is_live for server in self._servers.values())
            self._ping_due = now_ms() + (self._heartbeat if live else min(self._heartbeat, 20))

    def _send(self, body: list[bytes]) -> bytes | None:
        """Asks the first live server, if there is one; the control frame is the number of the request."""
        for address, server in self._servers.items():
            if server.is_live:
                control = len(self._sent).to_bytes(4, "big")
                self._sent[control] = address
                self._router.send_multipart([address, *Message(control, body).frames()])
                return control
        return None

    def _receive(self) -> tuple[bytes, Message | None]:
        address, *frames = self._router.recv_multipart()
        server = self._servers.get(address)
        if server is None:
            raise ProtocolViolation(f"the identity {address!r} is none of the endpoints: {frames!r}")
        reply = flp.parse(frames, flp.PONG)
        if reply is not None and self._sent.get(reply.control) != address:
            raise ProtocolViolation(f"a reply to nothing from {address!r}: {frames!r}")
        if not server.is_live:
            emit(f"live {server.endpoint}")
        server.expires = now_ms() + self._patience
        return address, reply


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connect", metavar="ENDPOINT", action="append", required=True, help="may be repeated")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--timeout", type=int, default=7500, metavar="MS", help="for each request")
    parser.add_argument("--retry", type=int, default=2500, metavar="MS", help="before it is sent again")
    peer.add_requests(parser)
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Sends the requests and reports how it went."""
    options = parse_options()
    client = Client(options, context, waiter)
    return peer.exit_code(all(map(client.ask, peer.bodies(options))), waiter)


if __name__ == "__main__":
    peer.run(main)
