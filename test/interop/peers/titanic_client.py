"""A strict Titanic client, written from 9/TSP: stores requests, asks for replies, closes them."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable

import zmq

import mdp
import peer
import tsp
from client import SETTLE_MS, Client
from peer import Waiter, emit, now_ms, texts

# After these the text says to try again later; after 400 it says not to.
TRY_LATER = {tsp.PENDING, tsp.ERROR}


class TitanicClient:
    """Asks one of the three services, one request at a time."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self._service: bytes = options.service
        self._patience: float = options.patience
        self._pause: float = options.pause
        self._waiter = waiter
        self._client = Client(options, options.service, context, waiter)

    def ask_all(self, questions: Iterable[list[bytes]]) -> bool:
        """Every question in turn; False when one is never answered."""
        answered = all([self._ask(question) for question in questions])
        if answered:
            self._client.expect_silence(SETTLE_MS)
        return answered

    def _ask(self, question: list[bytes]) -> bool:
        """Prints each answer, and asks again while that may help and patience lasts.

        TSP has no name for a request before it is stored: one that was not answered is stored again.
        """
        deadline = now_ms() + self._patience
        while True:
            reply = self._client.ask(question)
            if reply is None:
                self._client.reconnect()
            answer = reply and tsp.parse(self._service, reply.body)
            if answer:
                emit(json.dumps({"status": answer.status, "frames": texts(answer.frames)}))
            is_final = answer is not None and answer.status not in TRY_LATER
            if is_final or self._waiter.stopped_by or now_ms() >= deadline:
                return answer is not None
            self._waiter.wait(None, now_ms() + self._pause)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=mdp.VERSIONS, default="0.1")
    parser.add_argument("--connect", metavar="ENDPOINT", required=True)
    parser.add_argument("--timeout", type=int, default=2500, metavar="MS", help="per try")
    parser.add_argument("--patience", type=int, default=0, metavar="MS", help="how long to ask again")
    parser.add_argument("--pause", type=int, default=50, metavar="MS", help="before asking again")
    verbs = parser.add_subparsers(required=True)
    request = verbs.add_parser("request", help="store a request")
    request.set_defaults(service=tsp.REQUEST)
    request.add_argument("target", metavar="SERVICE")
    peer.add_requests(request)
    for service in (tsp.REPLY, tsp.CLOSE):
        verb = verbs.add_parser(service.decode().removeprefix("titanic."))
        verb.set_defaults(service=service)
        verb.add_argument("ids", metavar="ID", nargs="+", help="sent as it is, whatever it is")
    options = parser.parse_args()
    options.socket = "req" if options.protocol == "0.1" else "dealer"
    options.retries = 0
    return options


def questions(options: argparse.Namespace) -> list[list[bytes]]:
    """The frames of each question."""
    if options.service == tsp.REQUEST:
        return [[os.fsencode(options.target), *body] for body in peer.bodies(options)]
    return [[os.fsencode(each)] for each in options.ids]


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Asks, and reports how it went."""
    options = parse_options()
    client = TitanicClient(options, context, waiter)
    return peer.exit_code(client.ask_all(questions(options)), waiter)


if __name__ == "__main__":
    peer.run(main)
