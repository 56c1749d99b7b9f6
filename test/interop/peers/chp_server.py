"""A strict Clone server, written from 12/CHP: one map on ports P, P + 1 and P + 2.

Commands on stdin, one a line: `set KEY VALUE`, `delete KEY`, `drop N` (the next N updates are not published),
`dump`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import zmq

import chp
import peer
from chp import KeyValue
from chp_client import STDIN, at_offset, text
from peer import ProtocolViolation, Waiter, emit, now_ms

PORTS = range(20_000, 32_000, 3)
RESERVED = {chp.ICANHAZ, chp.KTHXBAI, chp.HUGZ}


@dataclass(frozen=True)
class Item:
    """A value, the number of its update, and when it ends."""

    value: bytes
    sequence: int
    expires: float


class Server:
    """Numbers every update, publishes it, and answers whoever wants a snapshot."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._heartbeat: float = options.heartbeat
        self._is_practical: bool = options.practice
        self._map: dict[bytes, Item] = {}
        self._sequence = 0
        self._drop = 0
        self._hugz_due = now_ms()
        self._typed = b""
        endpoint = self._bind(context, options.bind)
        for count in range(options.keys):
            self._publish(KeyValue(b"/preset/%d" % count, 0, b"%d" % count))
        emit(f"ready {endpoint}")

    def run(self, waiter: Waiter) -> None:
        """Serves until a signal comes, or stdin ends."""
        while not waiter.stopped_by:
            due = min((item.expires for item in self._map.values()), default=math.inf)
            ready = waiter.wait_any([self._snapshot, self._collector, STDIN], min(due, self._hugz_due))
            # What was collected first is in the snapshot.
            if self._collector in ready:
                self._collect(self._collector.recv_multipart())
            if self._snapshot in ready:
                self._send_snapshot(*self._snapshot.recv_multipart())
            if STDIN in ready and not self._obey():
                return
            self._expire()
            if now_ms() >= self._hugz_due:
                self._hugz()

    def _bind(self, context: zmq.Context, endpoint: str) -> str:
        """Three ports in a row; with `*` wherever there are."""
        while True:
            chosen = endpoint.replace("*", str(random.choice(PORTS)))
            sockets = [peer.open_socket(context, kind) for kind in (zmq.ROUTER, zmq.PUB, zmq.SUB)]
            self._snapshot, self._publisher, self._collector = sockets
            self._collector.setsockopt(zmq.SUBSCRIBE, b"")
            try:
                for offset, each in enumerate(sockets):
                    each.bind(at_offset(chosen, offset))
                return chosen
            except zmq.ZMQError as error:
                for each in sockets:
                    each.close()
                if error.errno != zmq.EADDRINUSE or chosen == endpoint:
                    raise

    def _send_snapshot(self, client: bytes, *frames: bytes) -> None:
        subtree = chp.parse_icanhaz(frames)
        items = {key: item for key, item in self._map.items() if key.startswith(subtree)}
        for key, item in items.items():
            self._snapshot.send_multipart([client, *KeyValue(key, item.sequence, item.value).frames()])
        # "the highest sequence number of the KVSYNC commands previously sent"
        highest = max((item.sequence for item in items.values()), default=0)
        last, shown = (self._sequence, b"") if self._is_practical else (highest, subtree)
        self._snapshot.send_multipart([client, chp.KTHXBAI, chp.number(last), b"", b"", shown])
        emit(f"snapshot {text(subtree)} {len(items)} keys at {last}")

    def _collect(self, frames: list[bytes]) -> None:
        command = chp.parse_kvset(frames)
        if command.key in RESERVED or not command.key:
            raise ProtocolViolation(f"{command.key!r} is no key")
        if not command.uuid:
            raise ProtocolViolation(f"a KVSET without a UUID: {frames!r}")
        printed = {"key": text(command.key), "value": text(command.value)}
        printed.update({text(name): text(value) for name, value in command.properties.items()})
        emit(json.dumps(printed))
        self._publish(command)

    def _publish(self, command: KeyValue) -> None:
        self._sequence += 1
        seconds = float(command.properties.get(b"ttl", b"inf"))
        if command.value == b"":
            self._map.pop(command.key, None)
        else:
            self._map[command.key] = Item(command.value, self._sequence, now_ms() + 1000 * seconds)
        numbered = KeyValue(command.key, self._sequence, command.value, command.uuid, command.properties)
        if self._drop == 0:
            self._publisher.send_multipart(numbered.frames())
        self._drop = max(0, self._drop - 1)

    def _expire(self) -> None:
        for key in [key for key, item in self._map.items() if now_ms() >= item.expires]:
            self._publish(KeyValue(key, 0, b""))

    def _hugz(self) -> None:
        """The text has zeros in it; common practice is the current number."""
        sequence = self._sequence if self._is_practical else 0
        self._publisher.send_multipart([chp.HUGZ, chp.number(sequence), b"", b"", b""])
        self._hugz_due = now_ms() + self._heartbeat

    def _obey(self) -> bool:
        """Does what was typed; False when stdin has ended."""
        typed = os.read(STDIN, 65536)
        *lines, self._typed = (self._typed + typed).split(b"\n")
        for line in lines:
            verb, *operands = line.split(b" ")
            self._commands[verb](self, *operands)
        return typed != b""

    def _set(self, key: bytes, value: bytes = b"") -> None:
        self._publish(KeyValue(key, 0, value))

    def _drop_next(self, count: bytes) -> None:
        self._drop = int(count)

    def _dump(self) -> None:
        emit(json.dumps({"map": {text(key): text(item.value) for key, item in sorted(self._map.items())}}))

    _commands: dict[bytes, Callable[..., None]] = {
        b"set": _set,
        b"delete": _set,
        b"drop": _drop_next,
        b"dump": _dump,
    }


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", metavar="ENDPOINT", required=True, help="tcp://127.0.0.1:* picks three ports")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--keys", type=int, default=0, metavar="N", help="that are there at the start")
    parser.add_argument("--practice", action="store_true", help="HUGZ and KTHXBAI as they are commonly sent")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Serves until it is told to end."""
    Server(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
