"""What the MDP peers share: framing and strict parsing.

Written from the RFC texts 7/MDP (v0.1), 18/MDP (v0.2) and 8/MMI only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from peer import ProtocolViolation

# Sockets close with linger 0, except after a worker's farewell: its DISCONNECT (and
# last reply) would be thrown away. The wait ends as soon as they are on the wire.
FAREWELL_LINGER_MS = 250
# A ROUTER gives each peer without an identity of its own one that starts with zero.
AUTOMATIC_IDENTITY = b"\0"
MMI_NAMESPACE = b"mmi."


# --- the wire ---------------------------------------------------------------------


class Command(Enum):
    """Every command of both versions; the REPLY of 0.1 is called FINAL here."""

    READY = "READY"
    REQUEST = "REQUEST"
    PARTIAL = "PARTIAL"
    FINAL = "FINAL"
    HEARTBEAT = "HEARTBEAT"
    DISCONNECT = "DISCONNECT"


ENVELOPED = {Command.REQUEST, Command.PARTIAL, Command.FINAL}
FROM_WORKER = {
    Command.READY,
    Command.PARTIAL,
    Command.FINAL,
    Command.HEARTBEAT,
    Command.DISCONNECT,
}
TO_WORKER = {Command.REQUEST, Command.HEARTBEAT, Command.DISCONNECT}
TO_CLIENT = {Command.PARTIAL, Command.FINAL}


@dataclass(frozen=True)
class Version:
    """The constants in which the two versions of MDP differ."""

    name: str
    client_header: bytes
    worker_header: bytes
    leading_empty: bool
    client_codes: Mapping[Command, bytes]
    worker_codes: Mapping[Command, bytes]

    def prefix(self, header: bytes) -> list[bytes]:
        """The frames before the command number."""
        return [b"", header] if self.leading_empty else [header]


V01 = Version(
    name="0.1",
    client_header=b"MDPC01",
    worker_header=b"MDPW01",
    leading_empty=True,
    client_codes={},  # requests and replies carry no command number
    worker_codes={
        Command.READY: b"\x01",
        Command.REQUEST: b"\x02",
        Command.FINAL: b"\x03",
        Command.HEARTBEAT: b"\x04",
        Command.DISCONNECT: b"\x05",
    },
)

V02 = Version(
    name="0.2",
    client_header=b"MDPC02",
    worker_header=b"MDPW02",
    leading_empty=False,
    client_codes={
        Command.REQUEST: b"\x01",
        Command.PARTIAL: b"\x02",
        Command.FINAL: b"\x03",
    },
    worker_codes={
        Command.READY: b"\x01",
        Command.REQUEST: b"\x02",
        Command.PARTIAL: b"\x03",
        Command.FINAL: b"\x04",
        Command.HEARTBEAT: b"\x05",
        Command.DISCONNECT: b"\x06",
    },
)

VERSIONS = {version.name: version for version in (V01, V02)}


@dataclass(frozen=True)
class ClientMessage:
    """A message between a client and the broker."""

    version: Version
    command: Command
    service: bytes
    body: list[bytes]

    def frames(self) -> list[bytes]:
        """The message as it stands on the wire."""
        frames = self.version.prefix(self.version.client_header)
        if self.version.client_codes:
            frames.append(self.version.client_codes[self.command])
        return [*frames, self.service, *self.body]


@dataclass(frozen=True)
class WorkerMessage:
    """A message between a worker and the broker; unused fields stay empty."""

    version: Version
    command: Command
    service: bytes = b""
    client: bytes = b""
    body: Sequence[bytes] = ()

    def frames(self) -> list[bytes]:
        """The message as it stands on the wire."""
        frames = self.version.prefix(self.version.worker_header)
        frames.append(self.version.worker_codes[self.command])
        if self.command is Command.READY:
            frames.append(self.service)
        elif self.command in ENVELOPED:
            frames += [self.client, b"", *self.body]
        return frames


# --- strict parsing ---------------------------------------------------------------


class FrameReader:
    """Takes the frames of one message one by one and complains precisely."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = list(frames)
        self._next = 0

    def fail(self, problem: str) -> NoReturn:
        """Raises the violation, naming the whole message."""
        raise ProtocolViolation(f"{problem} in {self._frames!r}")

    def take(self, what: str) -> bytes:
        """The next frame, which must exist."""
        if self._next >= len(self._frames):
            self.fail(f"no frame {self._next} ({what})")
        self._next += 1
        return self._frames[self._next - 1]

    def expect(self, wanted: bytes, what: str) -> None:
        """The next frame, which must be exactly this one."""
        index = self._next
        frame = self.take(what)
        if frame != wanted:
            self.fail(f"frame {index} ({what}) is {frame!r}, not {wanted!r},")

    def prefix(self, version: Version, header: bytes) -> None:
        """The leading empty frame (0.1 only) and the header."""
        if version.leading_empty:
            self.expect(b"", "leading empty frame")
        self.expect(header, "header")

    def command(self, codes: Mapping[Command, bytes], allowed: set[Command]) -> Command:
        """The command number, which must be one this side may receive."""
        index = self._next
        frame = self.take("command")
        for command, code in codes.items():
            if code == frame and command in allowed:
                return command
        return self.fail(f"frame {index}: command {frame!r} is not allowed here")

    def service(self) -> bytes:
        """A service name: printable and not empty."""
        frame = self.take("service name")
        try:
            printable = frame.decode("utf-8").isprintable()
        except UnicodeDecodeError:
            printable = False
        if not frame or not printable:
            self.fail(f"service name {frame!r} is not a printable string")
        return frame

    def client(self) -> bytes:
        """The client's envelope: one address, then the empty delimiter."""
        address = self.take("client address")
        if not address:
            self.fail("the client address is empty")
        self.expect(b"", "envelope delimiter")
        return address

    def body(self) -> list[bytes]:
        """All frames that are left, at least one."""
        if self._next >= len(self._frames):
            self.fail("no body frame")
        return self._frames[self._next :]

    def end(self) -> None:
        """No frame may be left."""
        if self._next < len(self._frames):
            self.fail(f"{len(self._frames) - self._next} frame(s) too many")


def parse_client(frames: Sequence[bytes], version: Version, allowed: set[Command]) -> ClientMessage:
    """Parses MDP/Client; `allowed` is what the reading side may receive."""
    reader = FrameReader(frames)
    reader.prefix(version, version.client_header)
    if version.client_codes:
        command = reader.command(version.client_codes, allowed)
    else:
        command = Command.REQUEST if Command.REQUEST in allowed else Command.FINAL
    return ClientMessage(version, command, reader.service(), reader.body())


def parse_worker(frames: Sequence[bytes], version: Version, allowed: set[Command]) -> WorkerMessage:
    """Parses MDP/Worker; `allowed` is what the reading side may receive."""
    reader = FrameReader(frames)
    reader.prefix(version, version.worker_header)
    command = reader.command(version.worker_codes, allowed)
    if command in ENVELOPED:
        return WorkerMessage(version, command, client=reader.client(), body=reader.body())
    service = reader.service() if command is Command.READY else b""
    reader.end()
    return WorkerMessage(version, command, service=service)


def parse_at_broker(frames: Sequence[bytes]) -> ClientMessage | WorkerMessage:
    """Parses what came to a broker's ROUTER (without the address), in either version."""
    version = V01 if frames and frames[0] == b"" else V02
    position = 1 if version.leading_empty else 0
    header = frames[position] if len(frames) > position else None
    if header == version.client_header:
        return parse_client(frames, version, {Command.REQUEST})
    if header == version.worker_header:
        return parse_worker(frames, version, FROM_WORKER)
    raise ProtocolViolation(f"frame {position} is no header of MDP {version.name} in {list(frames)!r}")
