"""The wire of a session's client: one connection to the master over which targets go out and results come in, unasked for.

One thread sends and receives; others may only ``wake`` it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import zmq

from ..errors import NoMaster, ProtocolError
from .codec import Message, decode, encode
from .keys import prepare_client, read_connection
from .messages import Role, Type

#: Messages that are taken in at a time.
MOST_AT_ONCE = 1_000


class Caller:
    """A connection to the master of the tree at ``tree``."""

    def __init__(self, tree: Path) -> None:
        self.connection = read_connection(tree / "connection")
        self._session = secrets.randbits(60)
        self._number = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        prepare_client(self._socket, self.connection)
        for address in self.connection.addresses:
            self._socket.connect(address)
        self._waking = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._waking, zmq.POLLIN)

    def wake(self) -> None:
        """Let ``receive`` return, from any thread."""
        os.eventfd_write(self._waking, 1)

    def ask(self, verb: str, **about: Any) -> int:
        """Send a request; the number that its answer will name."""
        return self.send(Type.REQUEST, [verb, about])

    def send(self, kind: Type, body: list[Any], data: bytes = b"") -> int:
        """Send a message and give its number; NoMaster if so many are on their way that no more are taken."""
        self._number += 1
        message = Message(kind, self.connection.epoch, self._session, self._number, body, data)
        try:
            self._socket.send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            raise NoMaster("the master takes nothing any more") from None
        return self._number

    def receive(self, seconds: float) -> list[Message]:
        """What has come, once something has, or somebody has called ``wake``, or the time is over."""
        ready = dict(self._poller.poll(int(seconds * 1000)))
        if self._waking in ready:
            os.eventfd_read(self._waking)
        found: list[Message] = []
        while len(found) < MOST_AT_ONCE:
            try:
                found.append(decode(self._socket.recv_multipart(zmq.NOBLOCK), Role.MASTER))
            except zmq.Again:
                break
            except ProtocolError as error:
                raise NoMaster(f"the master's words make no sense: {error}") from error
        return found

    def close(self) -> None:
        """Hang up."""
        self._socket.close(linger=0)
        self._context.term()
        os.close(self._waking)
