"""Asking a master whether it is there: a message of no session, which every living one answers."""

from __future__ import annotations

import struct
import time
from enum import Enum, unique
from typing import Any

import zmq

from ..errors import ProtocolError
from .codec import Message, decode, encode
from .keys import Connection, prepare_worker
from .messages import Role, Type


@unique
class Answer(Enum):
    """What came of it."""

    ANSWERED = "answered"
    REFUSED = "refused"  # nobody listens there
    SILENT = "silent"


def knock(connection: Connection, seconds: float) -> Answer:
    """Ask the master of a connection file, at each of its addresses; wait for at most ``seconds``."""
    deadline = time.monotonic() + seconds
    with zmq.Context() as context:
        answers = []
        for place, address in enumerate(connection.addresses):
            share = max(0.0, deadline - time.monotonic()) / (len(connection.addresses) - place)
            answers.append(_knock_at(context, connection, address, share))
            if answers[-1] is Answer.ANSWERED:
                return Answer.ANSWERED
        return Answer.SILENT if Answer.SILENT in answers else Answer.REFUSED


def _knock_at(context: zmq.Context[Any], connection: Connection, address: str, seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    socket: zmq.Socket[Any] = context.socket(zmq.DEALER)
    prepare_worker(socket, connection)
    monitor = socket.get_monitor_socket(zmq.EVENT_CLOSED | zmq.EVENT_CONNECTED)
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    poller.register(monitor, zmq.POLLIN)
    try:
        socket.connect(address)
        socket.send_multipart(encode(Message(Type.BEAT, connection.epoch, 0, 0, [0])))
        reached = False
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(int(left * 1000) + 1))
            if socket in ready and _is_a_master(socket.recv_multipart()):
                return Answer.ANSWERED
            if monitor in ready:
                event = struct.unpack_from("=H", monitor.recv_multipart()[0])[0]
                if event == zmq.EVENT_CLOSED and not reached:
                    return Answer.REFUSED
                reached = True
        return Answer.SILENT
    finally:
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=0)


def _is_a_master(frames: list[bytes]) -> bool:
    try:
        decode(frames, Role.MASTER)
    except ProtocolError:
        return False
    return True
