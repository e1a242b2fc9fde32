"""A worker looks for its master at all addresses at once, and believes the first that proves to be it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zmq

from jobtree.protocol import keys
from jobtree.worker.connection import Connector
from jobtree.worker.events import Connected, ConnectionLost, Event


@pytest.fixture
def master(tmp_path: Path) -> Iterator[keys.Connection]:
    """A socket that greets as a master does, and the connection file that leads to it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    public, secret = keys.new_pair()
    worker_public, worker_secret = keys.new_pair()
    server = context.socket(zmq.ROUTER)
    server.curve_server, server.curve_secretkey, server.linger = True, secret, 0
    port = server.bind_to_random_port("tcp://127.0.0.1")
    made = keys.Connection("r", 1, [f"tcp://127.0.0.1:{port}"], public.decode(), worker_public.decode(), worker_secret.decode())
    keys.write_connection(tmp_path / "connection", made)
    yield made
    context.destroy(linger=0)


def dialled(path: Path, seconds: float = 30.0) -> list[Event]:
    connector = Connector(path / "connection")
    connector.dial(0.0)
    deadline = time.monotonic() + seconds
    events: list[Event] = []
    while not events and time.monotonic() < deadline:
        events = connector.poll(0.1)
    connector.close(0.0)
    return events


def test_the_first_address_that_answers_wins(tmp_path: Path, master: keys.Connection) -> None:
    with socket.socket() as stranger:  # it takes connections, and says nothing
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        wrong = [f"tcp://127.0.0.1:{stranger.getsockname()[1]}", "tcp://127.0.0.1:1"]
        keys.write_connection(tmp_path / "connection", replace(master, addresses=[*wrong, *master.addresses]))
        assert [type(event) for event in dialled(tmp_path)] == [Connected]


def test_a_name_is_dialled_when_no_address_has_answered(tmp_path: Path, master: keys.Connection) -> None:
    named = master.addresses[0].replace("127.0.0.1", "localhost")
    keys.write_connection(tmp_path / "connection", replace(master, addresses=["tcp://127.0.0.1:1", named]))
    assert [type(event) for event in dialled(tmp_path)] == [Connected]


def test_somebody_with_another_key_is_not_believed(tmp_path: Path, master: keys.Connection) -> None:
    other, _ = keys.new_pair()
    keys.write_connection(tmp_path / "connection", replace(master, server_public=other.decode()))
    (lost,) = dialled(tmp_path)
    assert isinstance(lost, ConnectionLost)
    assert master.addresses[0] in lost.reason
