"""The worker's socket: one DEALER, made anew for each attempt to reach the master, at the first of its addresses that answers."""

from __future__ import annotations

import logging
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from ..errors import ProtocolError, UsageError
from ..protocol.codec import Message, decode, encode
from ..protocol.keys import Connection, prepare_worker, read_connection
from ..protocol.messages import Role
from .events import Connected, ConnectionLost, Event, Received

log = logging.getLogger("jobtree.worker")

TURN_MESSAGES = 500
#: All addresses are dialled at once, but names only after a moment: looking one up may hold up the others.
NAMES_AFTER = 1.0
#: How long to wait for any of them to answer (seconds).
ANSWER_WITHIN = 10.0
_GONE = (
    zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip
_NUMERIC = re.compile(r"tcp://(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:%.]+\]):\d+")


@dataclass(slots=True)
class _Line:
    """A socket on its way to one address, and what it says of itself."""

    address: str
    socket: zmq.Socket[Any]
    monitor: zmq.Socket[Any]

    def news(self) -> int:
        """The events since the last look, or-ed."""
        seen = 0
        while self.monitor.poll(0):
            # Two frames: event (16 bits) and value (32 bits), then the address. zmq.utils.monitor would import asyncio for this.
            frames = self.monitor.recv_multipart(zmq.NOBLOCK)
            seen |= struct.unpack_from("=H", frames[0])[0]
        return seen

    def close(self, linger: int = 0) -> None:
        """Hang up."""
        self.socket.disable_monitor()
        self.socket.close(linger=linger)


class Connector:
    """Dials when it is told to, and tells what comes and when the line is dead."""

    def __init__(self, connection_file: Path) -> None:
        self._file = connection_file
        self._context: zmq.Context[Any] = zmq.Context()
        self._line: _Line | None = None
        self._race: list[_Line] = []
        self._names: list[str] = []  # addresses that are dialled a moment later
        self._connection: Connection | None = None
        self._began = 0.0
        self._trouble = ""
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
        for line in [*self._race, *([self._line] if self._line is not None else [])]:
            self._drop(line)
        self._race, self._names = [], []
        self._line = None
        self.dial_at = None

    def send(self, message: Message) -> bool:
        """Send; False if the line can't take it."""
        if self._line is None:
            return False
        try:
            self._line.socket.send_multipart(encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def poll(self, timeout: float) -> list[Event]:
        """Wait for at most ``timeout`` seconds until something comes; then all that is there."""
        due = self._due()
        if due is not None:
            timeout = min(timeout, due - time.monotonic())
        for ready, _ in self._poller.poll(max(0, int(timeout * 1000 + 0.999))):
            drain = self._drains.get(ready)
            if drain is not None:
                drain()
        events: list[Event] = []
        if self.dial_at is not None and time.monotonic() >= self.dial_at:
            self._dial(events)
        if self._race or self._names:
            self._watch_the_race(events)
        if self._line is not None:
            self._receive(events)
            self._look_at_the_line(events)
        return events

    def _due(self) -> float | None:
        """When there is something to do though nothing may have come."""
        if self.dial_at is not None:
            return self.dial_at
        if self._names:
            return self._began + NAMES_AFTER
        return self._began + ANSWER_WITHIN if self._race else None

    def _dial(self, events: list[Event]) -> None:
        self.dial_at = None
        try:
            self._connection = read_connection(self._file)
        except (OSError, UsageError) as error:
            self._fail(events, str(error))
            return
        self._began = time.monotonic()
        addresses = self._connection.addresses
        self._names = [address for address in addresses if not _NUMERIC.fullmatch(address)]
        self._race = [self._open(address) for address in addresses if address not in self._names]

    def _open(self, address: str) -> _Line:
        assert self._connection is not None
        socket: zmq.Socket[Any] = self._context.socket(zmq.DEALER)
        prepare_worker(socket, self._connection)
        line = _Line(address, socket, socket.get_monitor_socket(_GONE | zmq.EVENT_HANDSHAKE_SUCCEEDED))
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(line.monitor, zmq.POLLIN)
        socket.connect(address)
        return line

    def _drop(self, line: _Line) -> None:
        self._poller.unregister(line.socket)
        self._poller.unregister(line.monitor)
        line.close()

    def _watch_the_race(self, events: list[Event]) -> None:
        """The first one that proves to be the master wins; it has shown its key, so no stranger can."""
        waited = time.monotonic() - self._began
        if self._names and (waited >= NAMES_AFTER or not self._race):
            self._race += [self._open(address) for address in self._names]
            self._names = []
        for line in list(self._race):
            news = line.news()
            if news & _GONE:
                self._race.remove(line)
                self._drop(line)
            elif news & zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._race.remove(line)
                self._settle(line)
                events.append(Connected())
                return
        if waited >= ANSWER_WITHIN or not (self._race or self._names):
            assert self._connection is not None
            addresses = self._connection.addresses
            here = all("127.0.0.1" in address for address in addresses)
            hint = " (on its own machine only; started with --bind 0.0.0.0 it is there for others, too)" if here else ""
            self._fail(events, f"nobody answers at {', '.join(addresses)}{hint}")

    def _settle(self, line: _Line) -> None:
        for other in self._race:
            self._drop(other)
        self._race, self._names = [], []
        self._line = line
        if self._trouble:
            log.info("the master answers at %s", line.address)
        self._trouble = ""

    def _fail(self, events: list[Event], words: str) -> None:
        if words != self._trouble:
            log.warning("the master can't be reached: %s", words)
        self._trouble = words
        self.hang_up()
        events.append(ConnectionLost(words))

    def _receive(self, events: list[Event]) -> None:
        assert self._line is not None
        for _ in range(TURN_MESSAGES):
            try:
                frames = self._line.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                events.append(Received(decode(frames, Role.MASTER)))
            except ProtocolError as error:
                events.append(ConnectionLost(str(error)))
                return

    def _look_at_the_line(self, events: list[Event]) -> None:
        assert self._line is not None
        if self._line.news() & _GONE:
            events.append(ConnectionLost("the line to the master is dead"))

    def close(self, linger: float) -> None:
        """Close; what was sent has ``linger`` seconds to leave."""
        if self._line is not None:
            self._line.close(linger=int(linger * 1000))
            self._line = None
        for line in self._race:
            line.close()
        self._race = []
        self._context.destroy(linger=int(linger * 1000))
