"""The wire of LLM servers' key-value cache events: what they publish, and how they repeat it.

    event    [topic][sequence][payload]              PUB to SUB
    ask      ['']['sequence to start from']          to the ROUTER
    answer   [''][sequence][payload]                 the layout 'plain'
             [''][topic][sequence][payload]          the layout 'topic'
    end      an answer with the sequence -1 and an empty payload

A sequence has 8 bytes, big-endian, and the first is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from peer import ProtocolViolation

END = (-1).to_bytes(8, "big", signed=True)


def number_of(frame: bytes) -> int:
    """The sequence in a frame; -1 for the end."""
    if len(frame) != 8:
        raise ProtocolViolation(f"a sequence of {len(frame)} bytes")
    return int.from_bytes(frame, "big", signed=True)


def frame_of(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big", signed=True)


def event(topic: bytes, sequence: int, payload: bytes) -> list[bytes]:
    return [topic, frame_of(sequence), payload]


def answer(layout: str, topic: bytes, sequence: int, payload: bytes) -> list[bytes]:
    head = [b"", topic] if layout == "topic" else [b""]
    return [*head, frame_of(sequence), payload]


def read_event(frames: Sequence[bytes]) -> tuple[bytes, int, bytes]:
    """Topic, sequence and payload."""
    if len(frames) != 3:
        raise ProtocolViolation(f"an event of {len(frames)} frames")
    topic, sequence, payload = frames
    number = number_of(sequence)
    if number < 0:
        raise ProtocolViolation(f"an event with the sequence {number}")
    return topic, number, payload


def read_answer(frames: Sequence[bytes], layout: str) -> tuple[int, bytes]:
    """Sequence, -1 for the end, and payload."""
    expected = 4 if layout == "topic" else 3
    if len(frames) != expected or frames[0] != b"":
        raise ProtocolViolation(f"an answer of {len(frames)} frames that begins with {frames[0]!r}")
    number = number_of(frames[-2])
    if number < -1 or (number == -1 and frames[-1] != b""):
        raise ProtocolViolation(f"an answer with the sequence {number} and {frames[-1]!r}")
    return number, frames[-1]


def read_ask(frames: Sequence[bytes]) -> int:
    """Where to start from."""
    if len(frames) != 2 or frames[0] != b"":
        raise ProtocolViolation(f"a question of {len(frames)} frames that begins with {frames[0]!r}")
    number = number_of(frames[1])
    if number < 0:
        raise ProtocolViolation(f"a question for {number}")
    return number
