"""A strict Freelance server, written from 10/FLP, with a choice of behaviours."""

from __future__ import annotations

import argparse
import errno
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

import zmq

import flp
import peer
from flp import Message
from peer import Waiter, emit, now_ms

PORTS = range(49152, 65536)


@dataclass(frozen=True)
class Held:
    """A request and when its reply is due."""

    client: bytes
    message: Message
    due: float


class Server:
    """Answers pings and requests, several at a time."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._behaviour: str = options.behaviour
        late = {"slow": options.delay, "broken": options.delay, "hang": math.inf}
        self._delay: float = late.get(options.behaviour, 0)
        self._held: list[Held] = []
        self._router, endpoint = bind(context, options.bind)
        emit(f"ready {endpoint}")

    def run(self, waiter: Waiter) -> None:
        """Serves until a signal comes."""
        while not waiter.stopped_by:
            if waiter.wait(self._router, min((held.due for held in self._held), default=math.inf)):
                self._receive()
            self._reply_if_due()

    def _receive(self) -> None:
        client, *frames = self._router.recv_multipart()
        message = flp.parse(frames, flp.PING)
        if message is None:
            emit("ping")
            self._router.send_multipart([client, flp.PONG])
            return
        emit(f"request {len(message.body)} frames")
        if self._behaviour == "broken":
            for broken in broken_replies(message):
                self._router.send_multipart([client, *broken])
            emit("broken")
        self._held.append(Held(client, message, now_ms() + self._delay))

    def _reply_if_due(self) -> None:
        for held in [each for each in self._held if each.due <= now_ms()]:
            self._held.remove(held)
            body = held.message.body
            if self._behaviour == "upper":
                body = [frame.upper() for frame in body]
            self._router.send_multipart([held.client, *Message(held.message.control, body).frames()])
            emit("reply")


def broken_replies(message: Message) -> Iterator[list[bytes]]:
    """What must reach nobody."""
    yield [b"stolen"]
    yield [message.control]
    yield [b"", b"stolen"]
    yield [b"PONG", b"stolen"]
    yield [message.control + b"\0", b"stolen"]
    yield [b"\xff" * len(message.control), b"stolen"]


def bind(context: zmq.Context, endpoint: str) -> tuple[zmq.Socket, str]:
    """A bound ROUTER with its public endpoint as its identity, which must be set before it binds.

    The port `*` is chosen here for that reason, again while it is in use.
    """
    while True:
        chosen = endpoint.replace("*", str(random.choice(PORTS)))
        router = peer.open_socket(context, zmq.ROUTER)
        router.setsockopt(zmq.ROUTING_ID, chosen.encode())
        try:
            router.bind(chosen)
            return router, chosen
        except zmq.ZMQError as error:
            router.close()
            if error.errno != errno.EADDRINUSE or chosen == endpoint:
                raise


def parse_options() -> argparse.Namespace:
    """The command line."""
    behaviours = ("echo", "upper", "slow", "hang", "broken")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", metavar="ENDPOINT", required=True, help="tcp://127.0.0.1:* picks a port")
    parser.add_argument("--behaviour", choices=behaviours, default="echo")
    parser.add_argument("--delay", type=int, default=1000, metavar="MS", help="of slow and broken")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Serves until it is told to end."""
    Server(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
