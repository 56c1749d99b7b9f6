"""A strict MDP worker, written from the RFCs, with a choice of behaviours."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import zmq

import mdp
import peer
from mdp import Command, WorkerMessage
from peer import ProtocolViolation, Waiter, emit, now_ms


@dataclass
class Job:
    """The request in hand and when its answer is due."""

    client: bytes
    body: Sequence[bytes]
    due: float


class Worker:
    """Holds one conversation at a time with one broker, on one socket."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context, waiter: Waiter) -> None:
        self._version = mdp.VERSIONS[options.protocol]
        self._endpoint: str = options.connect
        self._service = os.fsencode(options.service)
        self._behaviour: str = options.behaviour
        self._heartbeat: float = options.heartbeat
        self._patience: float = options.heartbeat * options.liveness
        self._delay = {"slow": options.delay, "hang": math.inf}.get(options.behaviour, 0)
        self._left: float = options.exit_after or math.inf
        self._job: Job | None = None
        self._context = context
        self._waiter = waiter
        self._open()

    def run(self) -> None:
        """Works until a signal comes or enough requests were taken."""
        while not self._waiter.stopped_by and self._left > 0:
            if self._waiter.wait(self._peer, self._next_deadline()):
                self._receive()
            elif now_ms() >= self._broker_expires:
                self._reopen()
            self._answer_if_due()
            self._heartbeat_if_due()
        self._farewell()

    def _next_deadline(self) -> float:
        due = self._job.due if self._job else math.inf
        return min(due, self._heartbeat_due, self._broker_expires)

    # the conversation

    def _open(self) -> None:
        """Starts a conversation: new socket, then READY."""
        self._peer = peer.open_socket(self._context, zmq.DEALER)
        self._peer.connect(self._endpoint)
        self._opened = now_ms()
        self._broker_expires = self._opened + self._patience
        self._send(Command.READY, service=self._service)
        emit("ready")

    def _reopen(self) -> None:
        """Ends the conversation without a word and starts another on a new socket.

        Not twice within one heartbeat interval, lest a broker that keeps refusing
        is hammered. A request in hand belongs to the old conversation and is dropped.
        """
        self._peer.close()
        self._job = None
        self._waiter.wait(None, self._opened + self._heartbeat)
        if not self._waiter.stopped_by:
            self._open()

    def _farewell(self) -> None:
        """Says DISCONNECT if there is a conversation to end."""
        if not self._peer.closed:
            self._send(Command.DISCONNECT)
            self._peer.close(linger=mdp.FAREWELL_LINGER_MS)

    def _send(
        self,
        command: Command,
        service: bytes = b"",
        client: bytes = b"",
        body: Sequence[bytes] = (),
    ) -> None:
        """Sends one command; each one also serves as a heartbeat."""
        message = WorkerMessage(self._version, command, service, client, body)
        self._peer.send_multipart(message.frames())
        self._heartbeat_due = now_ms() + self._heartbeat

    def _heartbeat_if_due(self) -> None:
        if not self._peer.closed and now_ms() >= self._heartbeat_due:
            self._send(Command.HEARTBEAT)

    # commands from the broker

    def _receive(self) -> None:
        message = mdp.parse_worker(self._peer.recv_multipart(), self._version, mdp.TO_WORKER)
        self._broker_expires = now_ms() + self._patience
        if message.command is Command.REQUEST:
            self._take(message)
        elif message.command is Command.HEARTBEAT:
            emit("heartbeat")
        else:
            emit("disconnect")
            self._reopen()

    def _take(self, message: WorkerMessage) -> None:
        emit(f"request {len(message.body)} frames")
        if self._job is not None:
            raise ProtocolViolation("REQUEST while the one before is not answered")
        self._job = Job(message.client, message.body, now_ms() + self._delay)
        if self._behaviour == "hang":
            self._left -= 1

    # answers

    def _answer_if_due(self) -> None:
        if self._job is None or now_ms() < self._job.due:
            return
        job, self._job = self._job, None
        *partials, final = self._answers(job.body)
        for partial in partials:
            self._send(Command.PARTIAL, client=job.client, body=partial)
        self._send(Command.FINAL, client=job.client, body=final)
        self._left -= 1

    def _answers(self, body: Sequence[bytes]) -> list[Sequence[bytes]]:
        """The bodies to send for a request: partials, then the final one."""
        if self._behaviour == "upper":
            return [[frame.upper() for frame in body]]
        if self._behaviour == "partials":
            return [*([frame] for frame in body), [b"done"]]
        return [body]


def parse_options() -> argparse.Namespace:
    """The command line."""
    behaviours = ("echo", "upper", "partials", "hang", "slow")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=mdp.VERSIONS, required=True)
    parser.add_argument("--connect", metavar="ENDPOINT", required=True)
    parser.add_argument("--behaviour", choices=behaviours, default="echo")
    parser.add_argument("--delay", type=int, default=1000, metavar="MS", help="of the behaviour slow")
    parser.add_argument("--liveness", type=int, default=peer.DEFAULT_LIVENESS, metavar="N")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--exit-after", type=int, metavar="N", help="requests answered (hang: taken)")
    parser.add_argument("service", metavar="SERVICE")
    options = parser.parse_args()
    if options.behaviour == "partials" and options.protocol == "0.1":
        parser.error("there are no partials in 0.1")
    return options


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Works until it is told to end."""
    Worker(parse_options(), context, waiter).run()
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
