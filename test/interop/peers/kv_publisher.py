"""A publisher of key-value cache events, as LLM servers are: PUB, and a ROUTER that repeats.

It prints `ready PUBLISHER REPLAY`, and does what it is told on stdin, one line each:

    publish N      N messages; payload `NUMBER`, or `LIFE:NUMBER` with --life
    drop N         the next N are numbered and kept, but not published: as if they were lost on the way
    restart        the next message has the number 0 again, and nothing is kept

It ends with its stdin.
"""

from __future__ import annotations

import argparse
import math
import os
from collections import deque

import zmq

import kv
from peer import EXIT_OK, Waiter, emit, last_endpoint, open_socket, run

STDIN = 0


class Publisher:
    def __init__(self, arguments: argparse.Namespace, context: zmq.Context) -> None:
        self.layout: str = arguments.layout
        self.topic: bytes = arguments.topic.encode()
        self.buffer: deque[tuple[int, bytes]] = deque(maxlen=arguments.buffer)
        self.next = 0
        self.life = 1
        self.shows_life: bool = arguments.life
        self.dropping = 0
        self.events = open_socket(context, zmq.PUB)
        self.events.bind(arguments.bind)
        self.replay = open_socket(context, zmq.ROUTER)
        self.replay.bind(arguments.replay)

    def tell(self, line: str) -> None:
        word, *rest = line.split()
        if word == "publish":
            for _ in range(int(rest[0])):
                self.publish()
        elif word == "drop":
            self.dropping += int(rest[0])
        elif word == "restart":
            self.next = 0
            self.life += 1
            self.buffer.clear()
        else:
            raise SystemExit(f"unknown command {word}")
        emit(f"did {line}")

    def publish(self) -> None:
        number = self.next
        self.next += 1
        payload = f"{self.life}:{number}" if self.shows_life else f"{number}"
        self.buffer.append((number, payload.encode()))
        if self.dropping > 0:
            self.dropping -= 1
            return
        self.events.send_multipart(kv.event(self.topic, number, payload.encode()))

    def repeat(self) -> None:
        address, *frames = self.replay.recv_multipart()
        start = kv.read_ask(frames)
        for number, payload in self.buffer:
            if number >= start:
                self.replay.send_multipart([address, *kv.answer(self.layout, self.topic, number, payload)])
        self.replay.send_multipart([address, *kv.answer(self.layout, self.topic, -1, b"")])


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bind", required=True, help="of the PUB")
    parser.add_argument("--replay", required=True, help="of the ROUTER")
    parser.add_argument("--layout", choices=["topic", "plain"], default="topic")
    parser.add_argument("--topic", default="kv-events")
    parser.add_argument("--buffer", type=int, default=10_000, help="messages that are kept")
    parser.add_argument("--life", action="store_true", help="payloads say which life they are of")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Publishes until its stdin ends, or it is told to end."""
    publisher = Publisher(parse_options(), context)
    emit(f"ready {last_endpoint(publisher.events)} {last_endpoint(publisher.replay)}")
    typed = b""
    while waiter.stopped_by == 0:
        ready = waiter.wait_any([publisher.replay, STDIN], math.inf)
        if publisher.replay in ready:
            publisher.repeat()
        if STDIN in ready:
            more = os.read(STDIN, 65536)
            *lines, typed = (typed + more).split(b"\n")
            for line in lines:
                publisher.tell(line.decode())
            if more == b"":
                break
    return EXIT_OK


if __name__ == "__main__":
    run(main)
