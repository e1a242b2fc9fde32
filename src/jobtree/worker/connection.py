"""The worker's socket: one DEALER, made anew for each attempt to reach the master."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from ..errors import ProtocolError, UsageError
from ..protocol.codec import Message, decode, encode
from ..protocol.keys import prepare_worker, read_connection
from ..protocol.messages import Role
from .events import Connected, ConnectionLost, Event, Received

TURN_MESSAGES = 500
_GONE = (
    zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip


class Connector:
    """Dials when it is told to, and tells what comes and when the line is dead."""

    def __init__(self, connection_file: Path) -> None:
        self._file = connection_file
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket: zmq.Socket[Any] | None = None
        self._monitor: zmq.Socket[Any] | None = None
        self._poller = zmq.Poller()
        self._drains: dict[Any, Callable[[], object] | None] = {}
        self.dial_at: float | None = None

    def watch(self, descriptor: int, drain: Callable[[], object] | None = None) -> None:
        """Let ``poll`` return when ``descriptor`` can be read, too; ``drain`` is called then."""
        self._poller.register(descriptor, zmq.POLLIN)
        self._drains[descriptor] = drain

    def dial(self, delay: float) -> None:
        """Make a new socket ``delay`` seconds from now."""
        self.hang_up()
        self.dial_at = time.monotonic() + delay

    def hang_up(self) -> None:
        """Close the socket, with all that it has not sent."""
        for socket in (self._socket, self._monitor):
            if socket is not None:
                self._poller.unregister(socket)
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=0)
        self._socket = self._monitor = None
        self.dial_at = None

    def send(self, message: Message) -> bool:
        """Send; False if the line can't take it."""
        if self._socket is None:
            return False
        try:
            self._socket.send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def poll(self, timeout: float) -> list[Event]:
        """Wait for at most ``timeout`` seconds until something comes; then all that is there."""
        if self.dial_at is not None:
            timeout = min(timeout, self.dial_at - time.monotonic())
        for ready, _ in self._poller.poll(max(0, int(timeout * 1000 + 0.999))):
            drain = self._drains.get(ready)
            if drain is not None:
                drain()
        events: list[Event] = []
        if self.dial_at is not None and time.monotonic() >= self.dial_at:
            events.append(self._connect())
        if self._socket is not None:
            self._receive(events)
            self._look_at_the_line(events)
        return events

    def _connect(self) -> Event:
        self.dial_at = None
        try:
            connection = read_connection(self._file)
        except (OSError, UsageError) as error:
            return ConnectionLost(str(error))
        socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        prepare_worker(socket, connection)
        self._monitor = socket.get_monitor_socket(_GONE)
        self._socket = socket
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        for address in connection.addresses:
            socket.connect(address)
        return Connected()

    def _receive(self, events: list[Event]) -> None:
        assert self._socket is not None
        for _ in range(TURN_MESSAGES):
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                events.append(Received(decode(frames, Role.MASTER)))
            except ProtocolError as error:
                events.append(ConnectionLost(str(error)))
                return

    def _look_at_the_line(self, events: list[Event]) -> None:
        assert self._monitor is not None
        while self._monitor.poll(0):
            # Two frames: event (16 bits) and value (32 bits), then the address. zmq.utils.monitor would import asyncio for this.
            frames = self._monitor.recv_multipart(zmq.NOBLOCK)
            if struct.unpack_from("=H", frames[0])[0] & _GONE:
                events.append(ConnectionLost("the line to the master is dead"))
                return

    def close(self, linger: float) -> None:
        """Close; what was sent has ``linger`` seconds to leave."""
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(linger=int(linger * 1000))
            self._socket = None
        self._context.destroy(linger=int(linger * 1000))
