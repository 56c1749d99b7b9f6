"""What the Clone peers share: 12/CHP, written from the RFC text only.

Every command is checked for its frames; what the text does not allow is a violation. In two places the
text and what is said to be common practice differ, and either is taken: the sequence number of HUGZ (zeros
or the current one) and the last frame of KTHXBAI (the subtree, or nothing).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from peer import ProtocolViolation

ICANHAZ = b"ICANHAZ?"
KTHXBAI = b"KTHXBAI"
HUGZ = b"HUGZ"

# "a slash followed by one or more path segments, ending in a slash"
SUBTREE = re.compile(rb"/(?:[^/]+/)+")
# "zero or more instances of name=value<newline>"
PROPERTIES = re.compile(rb"(?:[^=\n]+=[^\n]*\n)*")


@dataclass(frozen=True)
class KeyValue:
    """KVSYNC, KVPUB or KVSET: they have the same five frames."""

    key: bytes
    sequence: int
    value: bytes
    uuid: bytes = b""
    properties: dict[bytes, bytes] = field(default_factory=dict)

    def frames(self) -> list[bytes]:
        """The command as it stands on the wire."""
        properties = b"".join(b"%s=%s\n" % each for each in self.properties.items())
        return [self.key, number(self.sequence), self.uuid, properties, self.value]


@dataclass(frozen=True)
class Kthxbai:
    """The end of a snapshot."""

    sequence: int
    subtree: bytes


@dataclass(frozen=True)
class Hugz:
    """The server lives."""

    sequence: int


def number(sequence: int) -> bytes:
    """8 bytes in network order."""
    return sequence.to_bytes(8, "big")


def is_subtree(text: bytes) -> bool:
    """True for a subtree specification."""
    return text == b"" or SUBTREE.fullmatch(text) is not None


def parse_icanhaz(frames: Sequence[bytes]) -> bytes:
    """The subtree that a client wants."""
    if len(frames) != 2 or frames[0] != ICANHAZ or not is_subtree(frames[1]):
        raise ProtocolViolation(f"not an ICANHAZ: {list(frames)!r}")
    return frames[1]


def parse_sync(frames: Sequence[bytes], wanted: bytes) -> KeyValue | Kthxbai:
    """What may come on the snapshot connection."""
    key, sequence, uuid, properties, value = _five(frames)
    if uuid != b"" or properties != b"":
        raise ProtocolViolation(f"frames 2 and 3 of a snapshot are not empty: {list(frames)!r}")
    if key == KTHXBAI:
        if value not in (wanted, b""):
            raise ProtocolViolation(f"the end of a snapshot of {value!r}, not of {wanted!r}")
        return Kthxbai(sequence, value)
    return _in_subtree(KeyValue(key, sequence, value), wanted)


def parse_update(frames: Sequence[bytes], wanted: bytes) -> KeyValue | Hugz:
    """What may come on the subscriber connection."""
    key, sequence, uuid, properties, value = _five(frames)
    if key == HUGZ:
        if (uuid, properties, value) != (b"", b"", b""):
            raise ProtocolViolation(f"a HUGZ with a content: {list(frames)!r}")
        return Hugz(sequence)
    return _in_subtree(KeyValue(key, sequence, value, *_details(uuid, properties)), wanted)


def parse_kvset(frames: Sequence[bytes]) -> KeyValue:
    """What may come on the collector port."""
    key, sequence, uuid, properties, value = _five(frames)
    return KeyValue(key, sequence, value, *_details(uuid, properties))


def _five(frames: Sequence[bytes]) -> tuple[bytes, int, bytes, bytes, bytes]:
    if len(frames) != 5 or len(frames[1]) != 8:
        raise ProtocolViolation(f"not five frames with a number in the second: {list(frames)!r}")
    key, sequence, uuid, properties, value = frames
    return key, int.from_bytes(sequence, "big"), uuid, properties, value


def _details(uuid: bytes, properties: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    if len(uuid) not in (0, 16):
        raise ProtocolViolation(f"a UUID of {len(uuid)} bytes: {uuid!r}")
    if not PROPERTIES.fullmatch(properties):
        raise ProtocolViolation(f"these are no properties: {properties!r}")
    lines = properties.split(b"\n")[:-1]
    return uuid, dict((name, value) for name, _, value in (line.partition(b"=") for line in lines))


def _in_subtree(pair: KeyValue, wanted: bytes) -> KeyValue:
    if not pair.key.startswith(wanted) or pair.key == b"":
        raise ProtocolViolation(f"{pair.key!r} is not in the subtree {wanted!r}")
    return pair
