"""A small strict Paranoid Pirate queue, written from 6/PPP (whose "client" it is), or a simple one.

Least recently used workers first. What a silent worker held goes to another one; nothing is
counted, bounded or timed out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import deque
from dataclasses import dataclass

import zmq

import peer
import ppp
from peer import ProtocolViolation, Waiter, emit, now_ms, texts
from ppp import Message


@dataclass(eq=False)
class Worker:
    """A worker that has said READY; it is idle when it has no request in hand."""

    address: bytes
    expires: float
    heartbeat_due: float
    held: Message | None = None


class Queue:
    """Gives requests to workers: those of clients at its frontend, or its own."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._simple: bool = options.simple
        self._heartbeat: float = math.inf if options.simple else options.heartbeat
        self._patience: float = self._heartbeat * peer.DEFAULT_LIVENESS
        self._workers: dict[bytes, Worker] = {}
        self._idle: deque[Worker] = deque()
        self._requests: deque[Message] = deque()
        self._own = own_requests(options) if options.frontend is None else []
        self._requests.extend(self._own)
        self._backend = peer.open_socket(context, zmq.ROUTER)
        self._backend.bind(options.backend)
        self._frontend: zmq.Socket | None = None
        bound = [peer.last_endpoint(self._backend)]
        if options.frontend is not None:
            self._frontend = peer.open_socket(context, zmq.ROUTER)
            self._frontend.bind(options.frontend)
            bound.insert(0, peer.last_endpoint(self._frontend))
        emit(f"ready {' '.join(bound)}")

    def run(self, waiter: Waiter) -> None:
        """Serves until a signal comes, or until its own requests are answered."""
        peers = [self._backend] if self._frontend is None else [self._backend, self._frontend]
        while not waiter.stopped_by and (self._frontend is not None or self._own):
            readable = waiter.wait_any(peers, self._next_deadline())
            for ready in readable:
                if ready is self._backend:
                    self._from_worker(*split_address(ready.recv_multipart()))
                else:
                    self._from_client(ready.recv_multipart())
            if not readable:
                self._expire()
            self._send_heartbeats()

    # clients

    def _from_client(self, frames: list[bytes]) -> None:
        """The client's address becomes the bottom of the stack, and leads the reply back."""
        message = ppp.parse_message(frames)
        if not message.envelope:
            raise ProtocolViolation(f"a request without a null terminator: {frames!r}")
        emit(f"request {len(message.envelope) - 2} ids {len(message.content)} frames")
        self._requests.append(message)
        self._dispatch()

    def _deliver(self, reply: Message) -> None:
        if self._frontend is not None:
            self._frontend.send_multipart(reply.frames())
            emit(f"reply {len(reply.content)} frames")
            return
        self._own.remove(next(request for request in self._own if request.envelope == reply.envelope))
        emit(f"answer {json.dumps(texts(reply.content))}")

    # workers

    def _from_worker(self, address: bytes, frames: list[bytes]) -> None:
        command = ppp.parse_at_queue(frames, self._simple)
        worker = self._workers.get(address)
        if command == ppp.READY:
            self._register(address)
        elif worker is None:
            emit(f"ignored {address.hex()}")
        else:
            worker.expires = now_ms() + self._patience
            if command == ppp.HEARTBEAT:
                emit(f"heartbeat {address.hex()}")
            else:
                self._answered(worker, command)

    def _register(self, address: bytes) -> None:
        """READY begins a conversation; what was held in the one before is for another worker."""
        known = self._workers.get(address)
        if known is not None:
            self._forget(known)
        now = now_ms()
        worker = Worker(address, now + self._patience, now + self._heartbeat)
        self._workers[address] = worker
        self._idle.append(worker)
        emit(f"registered {address.hex()}")
        self._dispatch()

    def _answered(self, worker: Worker, reply: Message) -> None:
        if worker.held is None or reply.envelope != worker.held.envelope:
            raise ProtocolViolation(f"a reply to nothing: {reply.frames()!r}, in hand: {worker.held!r}")
        worker.held = None
        self._idle.append(worker)
        self._deliver(reply)
        self._dispatch()

    def _dispatch(self) -> None:
        while self._requests and self._idle:
            worker, request = self._idle.popleft(), self._requests.popleft()
            worker.held = request
            self._send(worker, request.frames())
            emit(f"dispatched {worker.address.hex()}")

    def _send(self, worker: Worker, frames: list[bytes]) -> None:
        """Sends one message; each one also serves as a heartbeat."""
        front = [b""] if self._simple else []
        self._backend.send_multipart([worker.address, *front, *frames])
        worker.heartbeat_due = now_ms() + self._heartbeat

    def _forget(self, worker: Worker) -> None:
        del self._workers[worker.address]
        if worker.held is None:
            self._idle.remove(worker)
        else:
            self._requests.appendleft(worker.held)

    # time

    def _next_deadline(self) -> float:
        workers = self._workers.values()
        return min((min(worker.expires, worker.heartbeat_due) for worker in workers), default=math.inf)

    def _expire(self) -> None:
        """Forgets workers that were silent for too long, idle or busy, without a word to them."""
        for worker in list(self._workers.values()):
            if now_ms() >= worker.expires:
                self._forget(worker)
                emit(f"expired {worker.address.hex()} {'busy' if worker.held else 'idle'}")
        self._dispatch()

    def _send_heartbeats(self) -> None:
        for worker in self._workers.values():
            if now_ms() >= worker.heartbeat_due:
                self._send(worker, [ppp.HEARTBEAT])


def split_address(frames: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The peer that a ROUTER names, and what it sent."""
    return frames[0], frames[1:]


def own_requests(options: argparse.Namespace) -> list[Message]:
    """The queue's own requests, in an envelope of the kind that was asked for."""
    envelopes = {"none": [], "null": [b""]}
    return [
        Message(envelopes.get(options.envelope, [b"own", str(number).encode(), b""]), body)
        for number, body in enumerate(peer.bodies(options))
    ]


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", metavar="ENDPOINT", required=True, help="tcp://127.0.0.1:* picks a port")
    parser.add_argument("--frontend", metavar="ENDPOINT", help="without, the queue sends its own requests")
    parser.add_argument("--simple", action="store_true", help="REQ workers, no heartbeats")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--envelope", choices=("stack", "null", "none"), default="stack", help="of its own requests")
    peer.add_requests(parser)
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Serves until it is told to end, or has its answers."""
    Queue(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
