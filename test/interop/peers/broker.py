"""A small strict MDP broker, written from the RFCs: 0.1 and 0.2 on one ROUTER, with MMI.

It recovers nothing: a request given to a worker that dies is lost, and the client must
send it again. Only waiting workers get heartbeats and only they can expire.
"""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq

import mdp
import peer
from mdp import ClientMessage, Command, Version, WorkerMessage
from peer import ProtocolViolation, Waiter, emit, now_ms


@dataclass(frozen=True)
class Request:
    """A client's request and where its reply must go."""

    client: bytes
    version: Version
    body: list[bytes]


@dataclass(eq=False)
class Worker:
    """A registered worker; it is waiting when it has no request in hand."""

    address: bytes
    version: Version
    service: Service
    expires: float
    heartbeat_due: float
    request: Request | None = None


@dataclass(eq=False)
class Service:
    """Requests without a worker, and waiting workers, least recently used first."""

    name: bytes
    requests: deque[Request] = field(default_factory=deque)
    waiting: deque[Worker] = field(default_factory=deque)


class Broker:
    """Routes requests from clients to workers and replies back."""

    def __init__(self, options: argparse.Namespace, context: zmq.Context) -> None:
        self._heartbeat: float = options.heartbeat
        self._patience: float = options.heartbeat * peer.DEFAULT_LIVENESS
        self._mmi: bool = not options.no_mmi
        self._services: dict[bytes, Service] = {}
        self._workers: dict[bytes, Worker] = {}
        self._gone: set[bytes] = set()  # after a DISCONNECT, in either direction
        self._router = peer.open_socket(context, zmq.ROUTER)
        self._router.bind(options.bind)
        emit(f"ready {peer.last_endpoint(self._router)}")

    def run(self, waiter: Waiter) -> None:
        """Serves until a signal comes; judges expiry only when all that came is read."""
        while not waiter.stopped_by:
            if waiter.wait(self._router, self._next_deadline()):
                self._receive()
            else:
                self._purge()
            self._send_heartbeats()

    def _receive(self) -> None:
        address, *frames = self._router.recv_multipart()
        message = mdp.parse_at_broker(frames)
        if isinstance(message, ClientMessage):
            self._from_client(address, message)
        else:
            self._from_worker(address, message)

    def _service(self, name: bytes) -> Service:
        return self._services.setdefault(name, Service(name))

    def _is_mmi(self, service: bytes) -> bool:
        return self._mmi and service.startswith(mdp.MMI_NAMESPACE)

    # clients

    def _from_client(self, address: bytes, message: ClientMessage) -> None:
        emit(f"request {text(message.service)} {message.version.name} {len(message.body)} frames")
        request = Request(address, message.version, message.body)
        if self._is_mmi(message.service):
            self._manage(message.service, request)
            return
        service = self._service(message.service)
        service.requests.append(request)
        self._dispatch(service)
        if service.requests:
            emit(f"queued {text(service.name)} {len(service.requests)}")

    def _manage(self, service: bytes, request: Request) -> None:
        """Answers a request in the namespace mmi. itself."""
        code = b"501"
        if service == b"mmi.service":
            known = any(worker.service.name == request.body[0] for worker in self._workers.values())
            code = b"200" if known else b"404"
        emit(f"mmi {text(service)} {code.decode()}")
        self._reply(request, Command.FINAL, service, [code])

    def _reply(self, request: Request, command: Command, service: bytes, body: list[bytes]) -> None:
        message = ClientMessage(request.version, command, service, body)
        self._router.send_multipart([request.client, *message.frames()])

    # workers

    def _from_worker(self, address: bytes, message: WorkerMessage) -> None:
        worker = self._workers.get(address)
        if worker is not None:
            self._from_known(worker, message)
        elif message.command is Command.DISCONNECT:
            self._gone.add(address)
            emit(f"disconnect {address.hex()}")
        elif address in self._gone and not self._may_return(address, message):
            emit(f"ignored {address.hex()} {message.command.value}")
        elif message.command is Command.READY:
            self._register(address, message)
        else:
            self._refuse(address, message, "not registered")

    @staticmethod
    def _may_return(address: bytes, message: WorkerMessage) -> bool:
        """Only a worker with an identity of its own can come back under the same address."""
        own = not address.startswith(mdp.AUTOMATIC_IDENTITY)
        return own and message.command is Command.READY

    def _from_known(self, worker: Worker, message: WorkerMessage) -> None:
        if message.version is not worker.version:
            raise ProtocolViolation(f"a worker of {worker.version.name} sent {message.frames()!r}")
        worker.expires = now_ms() + self._patience
        if message.command is Command.HEARTBEAT:
            emit(f"heartbeat {worker.address.hex()}")
        elif message.command is Command.DISCONNECT:
            self._forget(worker)
            self._gone.add(worker.address)
            emit(f"disconnect {worker.address.hex()}")
        elif message.command is Command.READY:
            self._refuse(worker.address, message, "already registered")
        elif worker.request is None:
            self._refuse(worker.address, message, "has no request")
        else:
            self._answered(worker, worker.request, message)

    def _register(self, address: bytes, message: WorkerMessage) -> None:
        if self._is_mmi(message.service):
            self._refuse(address, message, "reserved service name")
            return
        now = now_ms()
        service = self._service(message.service)
        worker = Worker(address, message.version, service, now + self._patience, now + self._heartbeat)
        self._gone.discard(address)
        self._workers[address] = worker
        service.waiting.append(worker)
        emit(f"registered {address.hex()} {text(service.name)} {worker.version.name}")
        self._dispatch(service)

    def _answered(self, worker: Worker, request: Request, message: WorkerMessage) -> None:
        """Passes a partial or final reply on, to the client that is waiting for it."""
        if message.client != request.client:
            raise ProtocolViolation(f"reply to {message.client!r}, but the request is from {request.client!r}")
        name = worker.service.name
        if message.command is Command.PARTIAL and request.version is mdp.V01:
            emit(f"dropped partial {text(name)}")
            return
        kind = "reply" if message.command is Command.FINAL else "partial"
        emit(f"{kind} {text(name)} {len(message.body)} frames")
        self._reply(request, message.command, name, list(message.body))
        if message.command is Command.FINAL:
            worker.request = None
            worker.service.waiting.append(worker)
            self._dispatch(worker.service)

    def _dispatch(self, service: Service) -> None:
        """Gives queued requests to waiting workers, both in the order they came."""
        while service.requests and service.waiting:
            worker, request = service.waiting.popleft(), service.requests.popleft()
            worker.request = request
            self._command(worker, Command.REQUEST, request.client, request.body)
            emit(f"dispatched {text(service.name)} {worker.address.hex()}")

    def _command(self, worker: Worker, command: Command, client: bytes = b"", body: Sequence[bytes] = ()) -> None:
        """Sends a command to a worker; each one also serves as a heartbeat."""
        message = WorkerMessage(worker.version, command, client=client, body=body)
        self._router.send_multipart([worker.address, *message.frames()])
        worker.heartbeat_due = now_ms() + self._heartbeat

    def _refuse(self, address: bytes, message: WorkerMessage, reason: str) -> None:
        """Answers a valid but unexpected command with DISCONNECT, and then nothing more."""
        worker = self._workers.get(address)
        if worker is not None:
            self._forget(worker)
        self._gone.add(address)
        reply = WorkerMessage(message.version, Command.DISCONNECT)
        self._router.send_multipart([address, *reply.frames()])
        emit(f"refused {address.hex()} {message.command.value} ({reason})")

    def _forget(self, worker: Worker) -> None:
        del self._workers[worker.address]
        if worker.request is None:
            worker.service.waiting.remove(worker)
        else:
            emit(f"lost request {text(worker.service.name)}")

    # time

    def _waiting(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.request is None]

    def _next_deadline(self) -> float:
        return min((min(worker.expires, worker.heartbeat_due) for worker in self._waiting()), default=math.inf)

    def _purge(self) -> None:
        """Forgets waiting workers that were silent for too long, without a word to them."""
        for worker in self._waiting():
            if now_ms() >= worker.expires:
                self._forget(worker)
                emit(f"expired {worker.address.hex()} {text(worker.service.name)}")

    def _send_heartbeats(self) -> None:
        for worker in self._waiting():
            if now_ms() >= worker.heartbeat_due:
                self._command(worker, Command.HEARTBEAT)


def text(name: bytes) -> str:
    """A service name for printing; parsing made sure that it is printable."""
    return name.decode("utf-8")


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bind", metavar="ENDPOINT", required=True, help="tcp://127.0.0.1:* picks a port")
    parser.add_argument("--heartbeat", type=int, default=peer.DEFAULT_HEARTBEAT_MS, metavar="MS")
    parser.add_argument("--no-mmi", action="store_true", help="treat mmi.* as any other service")
    return parser.parse_args()


def main(context: zmq.Context, waiter: Waiter) -> int:
    """Serves until it is told to end."""
    Broker(parse_options(), context).run(waiter)
    return peer.EXIT_OK


if __name__ == "__main__":
    peer.run(main)
