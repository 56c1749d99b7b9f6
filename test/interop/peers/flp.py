"""What the Freelance peers share: 10/FLP, written from the RFC text only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peer import ProtocolViolation

PING = b"PING"
PONG = b"PONG"


@dataclass(frozen=True)
class Message:
    """A request or a reply: the client control frame, then one or more frames of body."""

    control: bytes
    body: list[bytes]

    def frames(self) -> list[bytes]:
        """The message as it stands on the wire."""
        return [self.control, *self.body]


def parse(frames: Sequence[bytes], presence: bytes) -> Message | None:
    """A request or a reply, or None for PING at a server and PONG at a client."""
    if list(frames) == [presence]:
        return None
    if len(frames) < 2:
        raise ProtocolViolation(f"neither {presence!r} nor a control frame with a body: {list(frames)!r}")
    return Message(frames[0], list(frames[1:]))
