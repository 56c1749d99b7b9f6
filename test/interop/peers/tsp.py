"""The Titanic Service Protocol: three services and their answers, written from the 9/TSP text only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from peer import ProtocolViolation

REQUEST = b"titanic.request"
REPLY = b"titanic.reply"
CLOSE = b"titanic.close"

OK = 200
PENDING = 300
UNKNOWN = 400
ERROR = 500

# What each service may say. Only a reply can be pending.
STATUSES = {
    REQUEST: {OK, UNKNOWN, ERROR},
    REPLY: {OK, PENDING, UNKNOWN, ERROR},
    CLOSE: {OK, UNKNOWN, ERROR},
}

# "three digits, optionally followed by a space and descriptive text"
STATUS_FRAME = re.compile(rb"(\d{3})(?: .*)?", re.DOTALL)
UUID = re.compile(rb"[0-9A-Fa-f]{32}")


@dataclass(frozen=True)
class Answer:
    """The status, and the frames behind it. The text beside the digits means nothing."""

    status: int
    frames: list[bytes]


def parse(service: bytes, frames: Sequence[bytes]) -> Answer:
    """The answer of one of the three services; what the text does not allow is a violation."""
    match = STATUS_FRAME.fullmatch(frames[0])
    if match is None:
        raise ProtocolViolation(f"{service!r} answers without a status frame: {list(frames)!r}")
    answer = Answer(int(match[1]), list(frames[1:]))
    if answer.status not in STATUSES[service]:
        raise ProtocolViolation(f"{service!r} may not answer {frames[0]!r}")
    problem = _problem(service, answer)
    if problem:
        raise ProtocolViolation(f"{problem} in the answer of {service!r}: {list(frames)!r}")
    return answer


def _problem(service: bytes, answer: Answer) -> str:
    if answer.status != OK or service == CLOSE:
        return "frames behind the status" if answer.frames else ""
    if service == REPLY:
        return "" if answer.frames else "no body"
    is_uuid = len(answer.frames) == 1 and UUID.fullmatch(answer.frames[0])
    return "" if is_uuid else "not one UUID of 32 hexadecimal digits"
