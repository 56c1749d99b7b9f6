"""A hand-written subscriber to key-value cache events: it asks for what it sees missing, once.

It begins with a question for all there is, and prints one line for each message, `NUMBER live|repeated PAYLOAD`,
in order; it ends after --count of them. With --deaf it does not listen to every so-manieth event, and has to
ask for those. Without an answer in time it ends with exit code 4.
"""

from __future__ import annotations

import argparse

import zmq

import kv
from peer import Waiter, emit, exit_code, now_ms, open_socket, run


class Subscriber:
    def __init__(self, arguments: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self.layout: str = arguments.layout
        self.count: int = arguments.count
        self.deaf: int = arguments.deaf
        self.deadline = now_ms() + arguments.timeout
        self.next = 0
        self.printed = 0
        self.heard = 0
        self.events = open_socket(context, zmq.SUB)
        self.events.setsockopt(zmq.SUBSCRIBE, b"")
        self.events.connect(arguments.connect)
        self.replay = open_socket(context, zmq.DEALER)
        self.replay.connect(arguments.replay)
        self.waiter = waiter

    def take(self, number: int, payload: bytes, how: str) -> None:
        if number < self.next:
            return
        self.next = number + 1
        self.printed += 1
        emit(f"{number} {how} {payload.decode()}")

    def ask(self) -> bool:
        """Asks for all from `next` on, and takes the answer; False if it does not come to its end."""
        self.replay.send_multipart([b"", kv.frame_of(self.next)])
        while True:
            if not self.waiter.wait(self.replay, self.deadline):
                return False
            number, payload = kv.read_answer(self.replay.recv_multipart(), self.layout)
            if number < 0:
                return True
            self.take(number, payload, "repeated")

    def run(self) -> bool:
        """True when it has all it was to print."""
        if not self.ask():
            return False
        emit("listening")
        while self.printed < self.count:
            if not self.waiter.wait(self.events, self.deadline):
                return False
            _, number, payload = kv.read_event(self.events.recv_multipart())
            self.heard += 1
            if self.deaf > 0 and self.heard % self.deaf == 0:
                continue
            if number > self.next and not self.ask():
                return False
            self.take(number, payload, "live")
        return True


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--connect", required=True, help="to the PUB")
    parser.add_argument("--replay", required=True, help="to the ROUTER")
    parser.add_argument("--layout", choices=["topic", "plain"], default="topic")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--deaf", type=int, default=0)
    parser.add_argument("--timeout", type=int, default=10_000, help="milliseconds for all of it")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Prints what it gets until that is enough."""
    return exit_code(Subscriber(parse_options(), context, waiter).run(), waiter)


if __name__ == "__main__":
    run(main)
