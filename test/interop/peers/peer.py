"""What all peers share, whatever they speak: waiting, printing, sockets and exit codes."""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

import zmq

EXIT_OK = 0
EXIT_ERROR = 1
EXIT_VIOLATION = 3
EXIT_UNANSWERED = 4

DEFAULT_HEARTBEAT_MS = 1000
DEFAULT_LIVENESS = 3


class ProtocolViolation(Exception):
    """A peer sent something the wire does not allow."""


def now_ms() -> float:
    """Milliseconds on a clock that never jumps."""
    return time.monotonic() * 1000


def emit(line: str) -> None:
    """One line on stdout, at once."""
    print(line, flush=True)


class Waiter:
    """Waits for a socket, a deadline, or SIGTERM/SIGINT, whichever comes first."""

    def __init__(self) -> None:
        self.stopped_by = 0
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        signal.set_wakeup_fd(self._writer.fileno())
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end when nobody reads stdout

    def _stop(self, number: int, _frame: object) -> None:
        self.stopped_by = number

    def wait(self, peer: zmq.Socket | None, deadline: float) -> bool:
        """True when `peer` is readable; False at the deadline or when stopped."""
        return bool(self.wait_any([] if peer is None else [peer], deadline))

    def wait_any(self, peers: Sequence[zmq.Socket | int], deadline: float) -> list[zmq.Socket | int]:
        """Those sockets and files that are readable; none at the deadline or when stopped.

        What has already arrived is seen even if the deadline has passed.
        """
        poller = zmq.Poller()
        poller.register(self._reader.fileno(), zmq.POLLIN)
        for peer in peers:
            poller.register(peer, zmq.POLLIN)
        timeout = None if deadline == math.inf else max(0, math.ceil(deadline - now_ms()))
        readable = dict(poller.poll(timeout))
        return [] if self.stopped_by else [peer for peer in peers if peer in readable]


def open_socket(context: zmq.Context, kind: int) -> zmq.Socket:
    """A socket that never blocks on sending or closing and never drops for want of room."""
    peer = context.socket(kind)
    peer.linger = 0
    peer.set_hwm(0)
    return peer


def last_endpoint(peer: zmq.Socket) -> str:
    """Where it was bound, with the real port."""
    return peer.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def add_requests(parser: argparse.ArgumentParser) -> None:
    """What every client is asked to send."""
    parser.add_argument("--count", type=int, default=1, metavar="N", help="requests to send")
    parser.add_argument("body", metavar="BODY", nargs="*", help="frames; one empty frame if there is none")


def bodies(options: argparse.Namespace) -> list[list[bytes]]:
    """The body of every request: at least one frame, numbered if there are several."""
    frames = [os.fsencode(frame) for frame in options.body]
    if options.count > 1:
        return [[*frames, str(number).encode()] for number in range(1, options.count + 1)]
    return [frames or [b""]]


def texts(frames: Sequence[bytes]) -> list[str]:
    """Frames for printing, as latin-1 strings."""
    return [frame.decode("latin-1") for frame in frames]


def exit_code(answered: bool, waiter: Waiter) -> int:
    """How a client ends."""
    if waiter.stopped_by:
        return 128 + waiter.stopped_by
    if not answered:
        print("no answer", file=sys.stderr, flush=True)
        return EXIT_UNANSWERED
    return EXIT_OK


def run(main: Callable[[zmq.Context, Waiter], int]) -> NoReturn:
    """Runs a program to its end and exits with its code."""
    context = zmq.Context()
    try:
        code = main(context, Waiter())
    except ProtocolViolation as violation:
        print(f"protocol violation: {violation}", file=sys.stderr, flush=True)
        code = EXIT_VIOLATION
    except zmq.ZMQError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        code = EXIT_ERROR
    finally:
        context.destroy(linger=0)
    sys.exit(code)
