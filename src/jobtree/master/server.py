"""The master's socket: one ROUTER, a session for each peer, and nothing of what the messages mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import zmq

from ..errors import ProtocolError, UsageError
from ..protocol.codec import Message, decode, encode
from ..protocol.keys import Doorkeeper, prepare_server
from ..protocol.messages import Role, Type
from ..protocol.session import Session
from .events import Asked, Event, Hello, PeerLost, Received, Submitted

log = logging.getLogger("jobtree.master")

#: A turn takes in at most so many messages, and payload bytes, before it is worked off.
TURN_MESSAGES = 2_000
TURN_BYTES = 4 << 20


#: Clients that are remembered, to be answered; who has not asked for longest is forgotten first.
MOST_CLIENTS = 1_000


@dataclass(slots=True)
class _Peer:
    """One session's far end."""

    number: int
    route: bytes
    session: Session


class Server:
    """Listens, checks, numbers; gives events and takes messages."""

    def __init__(self, epoch: int, secret: bytes, worker_public: bytes, client_public: bytes) -> None:
        self.epoch = epoch
        self.heard_of = 0  # the highest epoch that a worker has named
        self._context: zmq.Context[Any] = zmq.Context()
        self._context.max_sockets = 64
        self._doorkeeper = Doorkeeper(self._context, worker_public, client_public)
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.ROUTER)
        prepare_server(self._socket, secret)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._doorkeeper.socket, zmq.POLLIN)
        self._drains: dict[Any, Callable[[], None] | None] = {}
        self._peers: dict[int, _Peer] = {}
        self._routes: dict[bytes, _Peer] = {}
        self._clients: dict[bytes, _Peer] = {}
        self._next = 1
        self._lost: list[Event] = []

    def bind(self, host: str, ports: Iterable[int]) -> str:
        """Listen on the first port of ``ports`` that is free (0: any); the address for workers."""
        tried = []
        for port in ports:
            try:
                self._socket.bind(f"tcp://{host}:{port or '*'}")
            except zmq.ZMQError as error:
                tried.append(f"{port}: {error}")
                continue
            return str(self._socket.getsockopt_string(zmq.LAST_ENDPOINT))
        raise UsageError(f"no port of {host} could be opened ({'; '.join(tried)}); give another --port-range or --bind")

    def watch(self, descriptor: int, drain: Callable[[], None] | None = None) -> None:
        """Let ``poll`` return when ``descriptor`` can be read, too; ``drain`` is called then."""
        self._poller.register(descriptor, zmq.POLLIN)
        self._drains[descriptor] = drain

    def unwatch(self, descriptor: int) -> None:
        """Look at ``descriptor`` no more."""
        self._poller.unregister(descriptor)
        del self._drains[descriptor]

    def poll(self, timeout: float) -> list[Event]:
        """Wait for at most ``timeout`` seconds until something comes; then all that is there, up to a turn's worth."""
        events, self._lost = self._lost, []
        for ready, _ in self._poller.poll(0 if events else max(0, int(timeout * 1000 + 0.999))):
            drain = self._drains.get(ready)
            if drain is not None:
                drain()
        self._doorkeeper.answer()
        size = 0
        for _ in range(TURN_MESSAGES):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            frames = [part.bytes for part in parts]
            # libzmq says with each message which key its sender has proved to have.
            is_client = frames[0] not in self._routes and _is_client(parts[-1])
            event = self._asked(frames) if is_client else self._take(frames)
            if event is not None:
                events.append(event)
            size += sum(map(len, frames))
            if size > TURN_BYTES:
                break
        if self._lost:
            events += self._lost
            self._lost = []
        return events

    def _take(self, frames: list[bytes]) -> Event | None:
        route = frames[0]
        try:
            message = decode(frames[1:], Role.WORKER)
        except ProtocolError as error:
            log.warning("a message was refused: %s", error)
            self._answer_nosession(route)
            self._drop(self._routes.get(route), str(error))
            return None
        if message.type is Type.HELLO:
            return self._greet(route, message)
        peer = self._routes.get(route)
        if peer is None or message.epoch != self.epoch or not peer.session.accepts(message):
            self._answer_nosession(route)
            self._drop(peer, "a message was missing or out of turn")
            return None
        return Received(peer.number, message.type, message.number, message.body, message.data)

    def _asked(self, frames: list[bytes]) -> Event | None:
        """A client has no session: each of its requests is answered by number."""
        route = frames[0]
        try:
            message = decode(frames[1:], Role.CLIENT)
        except ProtocolError as error:
            log.warning("a request was refused: %s", error)
            return None
        peer = self._clients.pop(route, None)
        if peer is None:
            peer = _Peer(self._next, route, Session(message.session))
            self._next += 1
            self._peers[peer.number] = peer
        self._clients[route] = peer  # the last one to be forgotten
        while len(self._clients) > MOST_CLIENTS:
            del self._peers[self._clients.pop(next(iter(self._clients))).number]
        if message.type is Type.SUBMIT:
            return Submitted(peer.number, message.body[0], message.body[1], message.data)
        return Asked(peer.number, message.number, message.body[0], message.body[1])

    def _greet(self, route: bytes, message: Message) -> Event | None:
        known = self._routes.get(route)
        if known is not None and known.session.id == message.session:
            return None  # the very same one once more
        self._drop(known, "it said HELLO again")
        self.heard_of = max(self.heard_of, message.epoch)
        session = Session(message.session, taken=1)
        peer = _Peer(self._next, route, session)
        self._next += 1
        self._peers[peer.number] = self._routes[route] = peer
        return Hello(peer.number, message.epoch, message.session, message.body[0])

    def send(self, peer: int, kind: Type, body: list[Any], data: bytes = b"") -> None:
        """Send to a peer; a peer that can't take it loses its session."""
        known = self._peers.get(peer)
        if known is None:
            return
        session = known.session
        number = session.sent
        if self._post(known.route, Message(kind, self.epoch, session.id, number, body, data)):
            session.sent += 1
        else:
            self._drop(known, "it can't be reached, or does not keep up")

    def end_session(self, peer: int) -> None:
        """Forget a peer, and let it know."""
        known = self._peers.get(peer)
        if known is not None:
            self._forget(known)
            self._answer_nosession(known.route)

    def _answer_nosession(self, route: bytes) -> None:
        self._post(route, Message(Type.NOSESSION, self.epoch, 0, 0, []))

    def _post(self, route: bytes, message: Message) -> bool:
        try:
            self._socket.send_multipart([route, *encode(message)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                return False
            raise
        return True

    def _drop(self, peer: _Peer | None, reason: str) -> None:
        if peer is not None:
            self._forget(peer)
            self._lost.append(PeerLost(peer.number, reason))

    def _forget(self, peer: _Peer) -> None:
        self._peers.pop(peer.number, None)
        self._clients.pop(peer.route, None)
        if self._routes.get(peer.route) is peer:
            del self._routes[peer.route]

    def close(self, linger: float = 0.0) -> None:
        """Close; what was sent has ``linger`` seconds to leave."""
        self._socket.close(linger=int(linger * 1000))
        self._doorkeeper.close()
        self._context.term()


def _is_client(part: zmq.Frame) -> bool:
    return part.get("User-Id") == "client"
