"""How other processes of the user ask the master of a tree: a request, and its answer, over the same port as the workers.

A client has a key pair of its own, with which it can ask and nothing else. It holds no state that would have to be reconciled: a
request that is not answered in time may have been carried out or not, and asking again is harmless for all verbs.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import zmq

from ..errors import NoMaster, ProtocolError
from .codec import Message, decode, encode
from .keys import prepare_client, read_connection
from .messages import Role, Type

#: How long an answer may take (seconds).
ANSWER_SECONDS = 20.0


class Client:
    """A connection to the master of the tree at ``tree``; a context manager.

    Raises UsageError where there is no connection file or it is not ours alone.
    """

    def __init__(self, tree: str | Path, *, seconds: float = ANSWER_SECONDS) -> None:
        self.seconds = seconds
        self.connection = read_connection(Path(tree) / "connection")
        self._session = secrets.randbits(60)
        self._number = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        prepare_client(self._socket, self.connection)
        for address in self.connection.addresses:
            self._socket.connect(address)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, verb: str, /, **about: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; NoMaster if none comes in time. An ``error`` in it is the master's refusal."""
        self._number += 1
        request = Message(Type.REQUEST, self.connection.epoch, self._session, self._number, [verb, about])
        self._socket.send_multipart(encode(request), zmq.NOBLOCK)
        until = time.monotonic() + self.seconds
        while (left := until - time.monotonic()) > 0:
            if not self._socket.poll(int(left * 1000) + 1):
                break
            try:
                message = decode(self._socket.recv_multipart(), Role.MASTER)
            except ProtocolError as error:
                raise NoMaster(f"the master's answer makes no sense: {error}") from error
            if message.type is Type.REPLY and message.body[0] == self._number:
                answer: dict[str, Any] = message.body[1]
                return answer
        raise NoMaster(f"no master has answered on {', '.join(self.connection.addresses)} within {self.seconds:.0f} s")

    def close(self) -> None:
        """Hang up."""
        self._socket.close(linger=0)
        self._context.term()
