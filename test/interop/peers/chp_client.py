"""A strict Clone client, written from 12/CHP: a map that follows a server's, and is changed from stdin.

Commands, one a line: `set KEY VALUE [TTL]` (seconds), `delete KEY`, `again` (the same KVSET once more), `dump`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import uuid
from collections.abc import Callable

import zmq

import chp
import peer
from chp import Hugz, KeyValue, Kthxbai
from peer import ProtocolViolation, Waiter, emit, now_ms

STDIN = 0


class Connection:
    """The three connections to one server; a new server, or a new beginning, needs new ones."""

    def __init__(self, context: zmq.Context, endpoint: str, subtree: bytes) -> None:
        self.endpoint = endpoint
        self.snapshot = peer.open_socket(context, zmq.DEALER)
        self.subscriber = peer.open_socket(context, zmq.SUB)
        self.publisher = peer.open_socket(context, zmq.PUB)
        # A prefix is what a SUB socket filters by: the key comes first.
        for wanted in {subtree, chp.HUGZ if subtree else b""}:
            self.subscriber.setsockopt(zmq.SUBSCRIBE, wanted)
        for offset, each in enumerate(self.sockets):
            each.connect(at_offset(endpoint, offset))

    @property
    def sockets(self) -> list[zmq.Socket]:
        """In the order of their port numbers."""
        return [self.snapshot, self.subscriber, self.publisher]

    def close(self) -> None:
        """Ends all three."""
        for each in self.sockets:
            each.close()


class Client:
    """Keeps the map, and looks for another server when the one it has is silent."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._context = context
        self._subtree = os.fsencode(options.subtree)
        self._endpoints: list[str] = options.connect
        self._patience: float = options.heartbeat * peer.DEFAULT_LIVENESS
        self._with_uuid: bool = options.uuid
        self._tries = 0
        self._own: set[bytes] = set()
        self._typed = b""
        self._map: dict[bytes, bytes] = {}
        self._open()

    def run(self, waiter: Waiter) -> None:
        """Follows until a signal comes, or stdin ends."""
        while not waiter.stopped_by:
            # Updates wait in their socket until the snapshot is there.
            heard = self._link.subscriber if self._is_synchronised else self._link.snapshot
            ready = waiter.wait_any([heard, STDIN], self._expires)
            if heard in ready:
                self._expires = now_ms() + self._patience
                (self._update if self._is_synchronised else self._sync)(heard.recv_multipart())
            if STDIN in ready and not self._obey():
                return
            if not ready and not waiter.stopped_by:
                self._move_on()

    def _open(self) -> None:
        endpoint = self._endpoints[self._tries % len(self._endpoints)]
        self._link = Connection(self._context, endpoint, self._subtree)
        self._loading: dict[bytes, bytes] = {}
        self._is_synchronised = False
        self._sequence = 0
        self._published = 0
        self._expires = now_ms() + self._patience
        self._link.snapshot.send_multipart([chp.ICANHAZ, self._subtree])

    def _move_on(self) -> None:
        emit(f"lost {self._link.endpoint}")
        self._link.close()
        self._tries += 1
        self._open()

    def _sync(self, frames: list[bytes]) -> None:
        command = chp.parse_sync(frames, self._subtree)
        if isinstance(command, KeyValue):
            if command.value == b"" or command.key in self._loading:
                raise ProtocolViolation(f"{command.key!r} is empty, or comes twice, in a snapshot")
            self._loading[command.key] = command.value
            self._sequence = max(self._sequence, command.sequence)
            return
        # The text wants the highest of those in front. After a delete that is less than what the snapshot
        # covers, so more is taken as well; with less, old updates would be applied again.
        if command.sequence < self._sequence:
            raise ProtocolViolation(f"a snapshot with {self._sequence} ends at {command.sequence}")
        self._sequence = command.sequence
        self._map = self._loading
        self._is_synchronised = True
        emit(f"synchronised {self._link.endpoint} {len(self._map)} keys at {self._sequence}")

    def _update(self, frames: list[bytes]) -> None:
        command = chp.parse_update(frames, self._subtree)
        if isinstance(command, Hugz):
            emit(f"hugz {command.sequence}")
            return
        if command.sequence <= self._published:
            raise ProtocolViolation(f"{command.sequence} behind {self._published}: not strictly incremental")
        self._published = command.sequence
        if command.sequence <= self._sequence:
            emit(f"discarded {command.sequence}")
            return
        self._sequence = command.sequence
        if command.value == b"":
            self._map.pop(command.key, None)
        else:
            self._map[command.key] = command.value
        self._print(command)

    def _print(self, command: KeyValue) -> None:
        printed = {"key": text(command.key), "sequence": command.sequence, "value": text(command.value)}
        if command.uuid in self._own:
            printed["own"] = True
        if command.properties:
            printed["properties"] = {text(name): text(value) for name, value in command.properties.items()}
        emit(json.dumps(printed))

    def _obey(self) -> bool:
        """Does what was typed; False when stdin has ended."""
        typed = os.read(STDIN, 65536)
        *lines, self._typed = (self._typed + typed).split(b"\n")
        for line in lines:
            verb, *operands = line.split(b" ")
            self._commands[verb](self, *operands)
        return typed != b""

    def _set(self, key: bytes, value: bytes, ttl: bytes = b"") -> None:
        own = uuid.uuid4().bytes if self._with_uuid else b""
        self._own.update({own} - {b""})
        properties = {b"ttl": ttl} if ttl else {}
        self._last = KeyValue(key, 0, value, own, properties)
        self._again()

    def _again(self) -> None:
        self._link.publisher.send_multipart(self._last.frames())

    def _delete(self, key: bytes) -> None:
        self._set(key, b"")

    def _dump(self) -> None:
        emit(json.dumps({"map": {text(key): text(value) for key, value in sorted(self._map.items())}}))

    _commands: dict[bytes, Callable[..., None]] = {
        b"set": _set,
        b"delete": _delete,
        b"again": _again,
        b"dump": _dump,
    }


def at_offset(endpoint: str, offset: int) -> str:
    """The endpoint at another port."""
    return re.sub(r"\d+$", lambda port: str(int(port[0]) + offset), endpoint)


def text(value: bytes) -> str:
    """For printing, as latin-1."""
    return value.decode("latin-1")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connect", metavar="ENDPOINT", action="append", required=True, help="port P; may be repeated")
    parser.add_argument("--subtree", default="", metavar="PATH")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--uuid", action="store_true", help="in every KVSET")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Follows until it is told to end."""
    Client(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
