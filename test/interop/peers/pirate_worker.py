"""A strict Paranoid Pirate worker, written from 6/PPP, or a simple one on a REQ socket."""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import zmq

import peer
import ppp
from peer import ProtocolViolation, Waiter, emit, now_ms
from ppp import Message


@dataclass
class Held:
    """The request in hand and when its reply is due."""

    message: Message
    due: float


class Worker:
    """One loop: requests, replies, and heartbeats in both directions, idle or busy."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self._endpoint: str = options.connect
        self._behaviour: str = options.behaviour
        self._simple: bool = options.simple
        self._stay: bool = options.stay
        self._has_stayed = False
        self._heartbeat: float = math.inf if options.simple else options.heartbeat
        self._patience: float = self._heartbeat * options.liveness
        self._blocks: float = options.delay if options.behaviour == "mute" else 0
        late = {"slow": options.delay, "broken": options.delay, "hang": math.inf}
        self._delay: float = late.get(options.behaviour, 0)
        self._held: deque[Held] = deque()
        self._context = context
        self._waiter = waiter
        self._connect()
        self._begin()

    def run(self) -> None:
        """Works until a signal comes; 6/PPP has no goodbye."""
        while not self._waiter.stopped_by:
            if self._waiter.wait(self._peer, self._next_deadline()):
                self._receive()
            elif now_ms() >= self._queue_expires:
                self._begin_again()
            self._reply_if_due()
            if now_ms() >= self._heartbeat_due:
                self._send([ppp.HEARTBEAT])

    def _next_deadline(self) -> float:
        due = self._held[0].due if self._held else math.inf
        return min(due, self._heartbeat_due, self._queue_expires)

    # the conversation

    def _connect(self) -> None:
        self._peer = peer.open_socket(self._context, zmq.REQ if self._simple else zmq.DEALER)
        self._peer.connect(self._endpoint)

    def _begin(self) -> None:
        self._queue_expires = now_ms() + self._patience
        self._send([ppp.READY])
        emit("ready")

    def _begin_again(self) -> None:
        """The queue is silent: READY again, on a new socket unless told otherwise.

        On the same socket, requests of the old conversation may still arrive.
        """
        emit("expired")
        self._held.clear()
        self._has_stayed = self._stay
        if not self._stay:
            self._peer.close()
            self._connect()
        self._begin()

    def _send(self, frames: list[bytes]) -> None:
        """Sends one message; each one also serves as a heartbeat."""
        self._peer.send_multipart(frames)
        self._heartbeat_due = now_ms() + self._heartbeat

    # messages from the queue

    def _receive(self) -> None:
        frames = self._peer.recv_multipart()
        message = ppp.parse_message(frames) if self._simple else ppp.parse_at_worker(frames)
        self._queue_expires = now_ms() + self._patience
        if message is None:
            emit("heartbeat")
            return
        emit(f"request {len(message.content)} frames")
        if self._held and not self._has_stayed:
            raise ProtocolViolation("REQUEST while the one before is not answered")
        self._take(message)

    def _take(self, message: Message) -> None:
        if self._behaviour == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._behaviour == "broken":
            for frames in broken_replies(message):
                self._send(frames)
                if self._simple:  # a REQ socket has one send for each receive
                    emit("broken")
                    return
            emit("broken")
        time.sleep(self._blocks / 1000)  # as a handler does that leaves no time for heartbeats
        self._held.append(Held(message, now_ms() + self._delay))

    # replies

    def _reply_if_due(self) -> None:
        if not self._held or now_ms() < self._held[0].due:
            return
        message = self._held.popleft().message
        content = message.content
        if self._behaviour == "upper":
            content = [frame.upper() for frame in content]
        self._send(Message(message.envelope, content).frames())
        emit("reply")


def broken_replies(message: Message) -> Iterator[list[bytes]]:
    """What must free nothing and reach nobody."""
    *stack, _end = message.envelope
    content = [b"stolen"]
    yield [b"another", b"", *content]
    yield [b"", *content]
    yield [*stack, b"deeper", b"", *content]
    yield [b"outer", *stack, b"", *content]
    yield [*stack, *content]
    yield [*stack, b""]
    yield content
    yield [ppp.READY, ppp.READY]
    yield [b"\x03"]


def parse_options() -> argparse.Namespace:
    """The command line."""
    behaviours = ("echo", "upper", "slow", "hang", "crash", "mute", "broken")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connect", metavar="ENDPOINT", required=True)
    parser.add_argument("--simple", action="store_true", help="a REQ socket without heartbeats")
    parser.add_argument(
        "--behaviour",
        choices=behaviours,
        default="echo",
        help="crash: killed by itself with a request in hand; mute: no heartbeats meanwhile; "
        "broken: nonsense in front of the reply",
    )
    parser.add_argument("--delay", type=int, default=1000, metavar="MS", help="of slow, mute and broken")
    parser.add_argument("--stay", action="store_true", help="on the same socket in a new conversation")
    parser.add_argument("--liveness", type=int, default=peer.DEFAULT_LIVENESS, metavar="N")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Works until it is told to end."""
    Worker(parse_options(), context, waiter).run()
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
