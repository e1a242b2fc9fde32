"""The master's socket, with a worker's own socket at its other end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import zmq

from jobtree.master.events import Event, Hello, PeerLost
from jobtree.master.server import Server
from jobtree.protocol import keys
from jobtree.protocol.codec import Message, decode, encode
from jobtree.protocol.messages import Role, Type

ABOUT = {
    "version": "1", "python": "3.11", "run": "r", "uid": "u", "block": "", "index": 0, "host": "h", "pid": 1, "cpus": 1.0,
    "memory": 1, "gpus": 0.0, "left": 0.0, "seen": [0, 0], "held": [],
}  # fmt: skip


class Line:
    """A master's socket, and a worker's."""

    def __init__(self) -> None:
        public, secret = keys.new_pair()
        worker = keys.new_pair()
        self.server = Server(1, secret, worker[0], keys.new_pair()[0])
        address = self.server.bind("127.0.0.1", [0])
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        known = keys.Connection("r", 1, [address], public.decode(), worker[0].decode(), worker[1].decode())
        keys.prepare_worker(self.socket, known)
        self.socket.connect(address)
        self.events: list[Event] = []

    def say(self, kind: Type, body: list[object], *, session: int, number: int) -> None:
        self.socket.send_multipart(encode(Message(kind, 1, session, number, body)))

    def hello(self, session: int) -> None:
        self.say(Type.HELLO, [ABOUT], session=session, number=0)

    def hears(self, count: int) -> list[Event]:
        """The next events, when there are so many."""
        self.events = []
        while len(self.events) < count:
            self.events += self.server.poll(0.1)
        return self.events

    def answer(self) -> Message:
        assert self.socket.poll(10_000)
        return decode(self.socket.recv_multipart(), Role.MASTER)

    def close(self) -> None:
        self.socket.close()
        self._context.term()
        self.server.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_a_hello_that_comes_twice_opens_one_session(line: Line) -> None:
    """What was given out since the first one would look as if the worker had lost it."""
    line.hello(7)
    line.hello(7)
    line.say(Type.BEAT, [1], session=7, number=1)
    first, beat = line.hears(2)
    assert isinstance(first, Hello)
    assert not isinstance(beat, Hello | PeerLost)


def test_a_hello_of_another_session_ends_the_one_before(line: Line) -> None:
    line.hello(7)
    line.hello(8)
    first, second, lost = line.hears(3)
    assert isinstance(first, Hello)
    assert isinstance(second, Hello)
    assert lost == PeerLost(first.peer, "it said HELLO again")


def test_a_message_before_any_hello_is_answered_with_nosession(line: Line) -> None:
    line.say(Type.BEAT, [1], session=7, number=1)
    line.server.poll(5.0)
    while not line.socket.poll(10):
        line.server.poll(0.1)
    assert line.answer().type is Type.NOSESSION
