"""A strict MDP client, written from the RFCs: sends requests, prints replies as JSON."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field

import zmq

import mdp
import peer
from mdp import ClientMessage, Command
from peer import ProtocolViolation, Waiter, emit, now_ms, texts

SETTLE_MS = 20  # how long a command after the last reply is looked for


@dataclass
class Reply:
    """One answer: any partials and the final body."""

    service: bytes
    partials: list[list[bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)

    def to_json(self) -> str:
        """The reply as one line, frames as latin-1 strings."""

        partials = [texts(partial) for partial in self.partials]
        service = self.service.decode("latin-1")
        return json.dumps({"service": service, "partials": partials, "body": texts(self.body)})


class Client:
    """Asks one service, one request at a time, on a new socket after each timeout."""

    def __init__(
        self, options: argparse.Namespace, service: bytes, context: zmq.Context, waiter: Waiter
    ) -> None:
        self._version = mdp.VERSIONS[options.protocol]
        self._endpoint: str = options.connect
        self._is_req: bool = options.socket == "req"
        self._timeout: float = options.timeout
        self._tries: int = options.retries + 1
        self._service = service
        self._context = context
        self._waiter = waiter
        self._connect()

    def _connect(self) -> None:
        self._peer = peer.open_socket(self._context, zmq.REQ if self._is_req else zmq.DEALER)
        self._peer.connect(self._endpoint)

    def reconnect(self) -> None:
        """Throws the socket away, and with it any late reply."""
        self._peer.close()
        self._connect()

    def send(self, body: list[bytes]) -> None:
        """Sends one request; a REQ socket writes the leading empty frame itself."""
        frames = ClientMessage(self._version, Command.REQUEST, self._service, body).frames()
        self._peer.send_multipart(frames[1:] if self._is_req else frames)

    def _receive(self) -> ClientMessage:
        frames = self._peer.recv_multipart()
        frames = [b"", *frames] if self._is_req else frames
        message = mdp.parse_client(frames, self._version, mdp.TO_CLIENT)
        if message.service != self._service:
            raise ProtocolViolation(f"asked {self._service!r}, but the reply is from {message.service!r}")
        return message

    def collect(self) -> Reply | None:
        """Waits for one whole reply; None when the time is up or the program must end."""
        reply = Reply(self._service)
        deadline = now_ms() + self._timeout
        while self._waiter.wait(self._peer, deadline):
            message = self._receive()
            if message.command is Command.FINAL:
                reply.body = message.body
                return reply
            reply.partials.append(message.body)
        return None

    def ask(self, body: list[bytes]) -> Reply | None:
        """Sends one request as often as allowed until it is answered."""
        for attempt in range(self._tries):
            if attempt:
                self.reconnect()
            self.expect_silence(0)
            self.send(body)
            reply = self.collect()
            if reply is not None or self._waiter.stopped_by:
                return reply
        return None

    def expect_silence(self, duration: float) -> None:
        """Nothing may arrive while no request is open (a REQ socket drops it unseen)."""
        if self._waiter.wait(self._peer, now_ms() + duration):
            raise ProtocolViolation(f"command without an open request: {self._peer.recv_multipart()!r}")


def ask_in_turn(client: Client, requests: list[list[bytes]]) -> bool:
    """Every request after the reply to the one before; False when one is never answered."""
    for body in requests:
        reply = client.ask(body)
        if reply is None:
            return False
        emit(reply.to_json())
    return True


def ask_at_once(client: Client, requests: list[list[bytes]]) -> bool:
    """All requests first, then as many replies. No retry: replies are not matched."""
    for body in requests:
        client.send(body)
    for _ in requests:
        reply = client.collect()
        if reply is None:
            return False
        emit(reply.to_json())
    return True


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=mdp.VERSIONS, required=True)
    parser.add_argument("--connect", metavar="ENDPOINT", required=True)
    parser.add_argument("--socket", choices=("req", "dealer"), help="0.1: req unless told; 0.2: dealer")
    parser.add_argument("--timeout", type=int, default=2500, metavar="MS", help="per try")
    parser.add_argument("--retries", type=int, default=2, metavar="N", help="tries after the first")
    parser.add_argument("--rate-free", action="store_true", help="send all requests before reading (dealer only)")
    parser.add_argument("service", metavar="SERVICE")
    peer.add_requests(parser)
    options = parser.parse_args()
    if options.socket is None:
        options.socket = "req" if options.protocol == "0.1" and not options.rate_free else "dealer"
    if options.socket == "req" and (options.protocol == "0.2" or options.rate_free):
        parser.error("0.2 and --rate-free need a dealer socket")
    return options


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Sends the requests and reports how it went."""
    options = parse_options()
    client = Client(options, os.fsencode(options.service), context, waiter)
    ask = ask_at_once if options.rate_free else ask_in_turn
    answered = ask(client, peer.bodies(options))
    if answered:
        client.expect_silence(SETTLE_MS)
    return peer.exit_code(answered, waiter)


if __name__ == "__main__":
    peer.run(main)
