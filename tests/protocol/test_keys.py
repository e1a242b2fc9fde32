"""Sockets that fail closed, and key files that nobody else can read or put in their place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from jobtree.errors import UsageError
from jobtree.protocol import keys

SERVER, WORKER = keys.new_pair(), keys.new_pair()


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    with zmq.Context() as one:
        yield one
        one.destroy(linger=0)


def listening(context: zmq.Context[Any]) -> tuple[zmq.Socket[Any], keys.Connection]:
    socket: zmq.Socket[Any] = context.socket(zmq.ROUTER)
    keys.prepare_server(socket, SERVER[1])
    socket.bind("tcp://127.0.0.1:*")
    address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    return socket, keys.Connection("run", 1, [address], SERVER[0].decode(), WORKER[0].decode(), WORKER[1].decode())


def handshake_of(dialler: zmq.Socket[Any], address: str) -> int:
    """How the handshake ended, as the event of the dialling socket's monitor."""
    over = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    monitor = dialler.get_monitor_socket(over | zmq.EVENT_DISCONNECTED)
    dialler.connect(address)
    assert monitor.poll(20_000)
    event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
    dialler.disable_monitor()
    return event


def test_without_a_doorkeeper_nobody_is_let_in(context: zmq.Context[Any]) -> None:
    """ZAP fails open by default: a handler that has died, or was never there, would admit every key."""
    _, connection = listening(context)
    with zmq.Context() as elsewhere:
        dialler: zmq.Socket[Any] = elsewhere.socket(zmq.DEALER)
        keys.prepare_worker(dialler, connection)
        assert handshake_of(dialler, connection.addresses[0]) != zmq.EVENT_HANDSHAKE_SUCCEEDED
        dialler.close(linger=0)


def test_what_cannot_be_sent_is_said(context: zmq.Context[Any]) -> None:
    socket, _ = listening(context)
    with pytest.raises(zmq.ZMQError) as raised:
        socket.send_multipart([b"nobody", b"x"], zmq.NOBLOCK)
    assert raised.value.errno == zmq.EHOSTUNREACH


def test_a_worker_dials_once_and_libzmq_never_by_itself(context: zmq.Context[Any]) -> None:
    """It would reconnect in silence, and what had been sent would reach a new master before any HELLO."""
    socket, connection = listening(context)
    socket.unbind(connection.addresses[0])
    dialler: zmq.Socket[Any] = context.socket(zmq.DEALER)
    keys.prepare_worker(dialler, connection)
    monitor = dialler.get_monitor_socket(zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED)
    dialler.connect(connection.addresses[0])
    assert monitor.poll(20_000)
    assert int.from_bytes(monitor.recv_multipart()[0][:2], "little") == zmq.EVENT_CLOSED
    assert not monitor.poll(500), "it dials again"
    dialler.disable_monitor()


def test_a_key_file_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys.load_or_make_server_key(tmp_path / "server.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


def test_a_key_file_that_others_can_read_proves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "server.key"
    keys.load_or_make_server_key(path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others"):
        keys.load_or_make_server_key(path)


def test_a_link_in_the_place_of_a_key_file_is_not_followed(tmp_path: Path) -> None:
    keys.load_or_make_server_key(tmp_path / "theirs")
    (tmp_path / "server.key").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match="symbolic links"):
        keys.load_or_make_server_key(tmp_path / "server.key")
