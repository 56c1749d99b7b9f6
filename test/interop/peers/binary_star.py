"""One of a Binary Star of the stock kind: its state as one digit on PUB/SUB, no name, no epoch, no witness.

1 primary and 2 backup, both waiting; 3 active; 4 passive. Two that both serve, or are both passive, cannot
happen by its rules: it says so, and ends.
"""

from __future__ import annotations

import argparse

import zmq

import peer
from peer import ProtocolViolation, Waiter, emit, now_ms

DIGITS = {"primary": b"1", "backup": b"2", "active": b"3", "passive": b"4"}
STATES = {digit: state for state, digit in DIGITS.items()}


class Server:
    """Serves, or does not; clients ask it at each heartbeat if there are any."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._interval: int = options.heartbeat
        self._has_clients: bool = options.asked
        self._state: str = options.role
        self._verdict = ""
        self._peer_lost_at = now_ms() + 2 * self._interval
        self._beat_at = now_ms()
        self._pub = peer.open_socket(context, zmq.PUB)
        self._pub.bind(options.bind)
        self._sub = peer.open_socket(context, zmq.SUB)
        self._sub.setsockopt(zmq.SUBSCRIBE, b"")
        self._sub.connect(options.connect)
        emit(f"ready {peer.last_endpoint(self._pub)}")

    def run(self, waiter: Waiter) -> None:
        """Takes part until a signal comes."""
        while not waiter.stopped_by:
            if waiter.wait(self._sub, self._beat_at):
                self._hear(self._sub.recv_multipart())
            elif not waiter.stopped_by:
                self._beat()

    def _beat(self) -> None:
        self._beat_at = now_ms() + self._interval
        if self._has_clients:
            self._ask()
        self._pub.send(DIGITS[self._state])

    def _hear(self, frames: list[bytes]) -> None:
        if len(frames) != 1 or frames[0] not in STATES:
            raise ProtocolViolation(f"a state is one digit, not {frames}")
        self._obey(STATES[frames[0]])
        self._peer_lost_at = now_ms() + 2 * self._interval

    def _obey(self, other: str) -> None:
        """What the other one's state makes of ours."""
        mine = self._state
        if mine == other == "active":
            raise ProtocolViolation("both serve")
        if mine == other == "passive":
            raise ProtocolViolation("both are passive")
        if other == "active":
            self._become("passive")
        elif (mine == "primary" and other == "backup") or (mine == "passive" and other in ("primary", "backup")):
            self._become("active")

    def _ask(self) -> None:
        """A client's request: whoever is passive takes over if the other one is gone."""
        if self._state == "passive" and now_ms() >= self._peer_lost_at:
            self._become("active")
        verdict = "serves" if self._state == "active" else "refuses"
        if verdict != self._verdict:
            self._verdict = verdict
            emit(verdict)

    def _become(self, state: str) -> None:
        if state == self._state:
            return
        self._state = state
        emit(f"is {state}")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--role", choices=("primary", "backup"), required=True)
    parser.add_argument("--bind", metavar="ENDPOINT", required=True, help="where the other one hears it")
    parser.add_argument("--connect", metavar="ENDPOINT", required=True, help="where it hears the other one")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--asked", action="store_true", help="clients ask it all the time")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Takes part until it is told to end."""
    Server(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
