"""What the Pirate peers share: envelopes, and the commands of the Paranoid Pirate Protocol.

Written from the RFC text 6/PPP only. A simple pirate is its subset for REQ workers: no heartbeats,
and the empty frame that a REQ socket writes in front of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peer import ProtocolViolation

READY = b"\x01"
HEARTBEAT = b"\x02"


@dataclass(frozen=True)
class Message:
    """A REQUEST or a REPLY: an optional address stack with null terminator, then content."""

    envelope: list[bytes]  # the stack and its null terminator; nothing if both were left out
    content: list[bytes]

    def frames(self) -> list[bytes]:
        """The message as it stands on the wire."""
        return [*self.envelope, *self.content]


def parse_message(frames: Sequence[bytes]) -> Message:
    """Splits behind the first empty frame; without one, all of it is content."""
    frames = list(frames)
    start = frames.index(b"") + 1 if b"" in frames else 0
    if start >= len(frames):
        raise ProtocolViolation(f"no content in {frames!r}")
    return Message(frames[:start], frames[start:])


def parse_at_worker(frames: Sequence[bytes]) -> Message | None:
    """A REQUEST, or None for a HEARTBEAT: a worker gets nothing else."""
    if list(frames) == [HEARTBEAT]:
        return None
    if len(frames) < 2:
        raise ProtocolViolation(f"neither REQUEST nor HEARTBEAT: {list(frames)!r}")
    return parse_message(frames)


def parse_at_queue(frames: Sequence[bytes], simple: bool) -> Message | bytes:
    """A REPLY, or one of READY and HEARTBEAT."""
    frames = list(frames)
    if simple and (not frames or frames.pop(0) != b""):
        raise ProtocolViolation("a simple worker's message does not begin with an empty frame")
    if frames == [READY] or (frames == [HEARTBEAT] and not simple):
        return frames[0]
    if len(frames) < 2:
        raise ProtocolViolation(f"neither READY, HEARTBEAT nor REPLY: {frames!r}")
    return parse_message(frames)
