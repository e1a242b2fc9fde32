"""The supervisor's end of a nursery: starts the process, asks it for runners, hears of their deaths."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack

#: What a nursery is asked for, the first field of each message.
PREPARE = 0  # [settings, tree, the worker's scratch directory]
FORK = 1  # [runner, secret], with the runner's descriptors
LEAVE = 2  # []

#: What it answers.
FORKED = 11  # [runner, pid]
DIED = 12  # [runner, wait status, user seconds, system seconds]
FORK_FAILED = 13  # [runner, why]

#: Where a nursery in a fresh interpreter finds its end of the link.
NURSERY_DESCRIPTOR = 3
# The way to this very package, without a variable that user code would see.
_START = """\
import sys
sys.path[:] = [*filter(None, sys.path), sys.argv.pop()]
from jobtree.worker.nursery import main
main()
"""

#: How many descriptors come with each FORK.
RUNNER_DESCRIPTORS = 6

_LENGTH = struct.Struct("<I")
_READ_BYTES = 1 << 16


class Link:
    """Messages, with descriptors, through a stream socket; used at both ends."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.descriptors: deque[int] = deque()
        self.closed = False
        self._in = bytearray()
        self._out: deque[tuple[bytes, Sequence[int]]] = deque()

    def send(self, message: Sequence[Any], descriptors: Sequence[int] = ()) -> None:
        """Send, or keep until `flush` if the socket is full; descriptors are closed when they are sent."""
        packed = msgpack.packb(message)
        self._out.append((_LENGTH.pack(len(packed)) + packed, descriptors))
        self.flush()

    def flush(self) -> bool:
        """Send what is waiting; False if some of it still has to wait."""
        while self._out and not self.closed:
            data, descriptors = self._out.popleft()
            try:
                sent = self._transmit(data, descriptors)
            except BlockingIOError:
                self._out.appendleft((data, descriptors))
                return False
            except OSError:
                self.closed = True
                sent = len(data)
            _close(descriptors)
            if sent < len(data):
                self._out.appendleft((data[sent:], ()))
        return True

    def receive(self) -> Iterator[list[Any]]:
        """Read what is there (waits for it if the socket blocks); yields the messages that are complete."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, _READ_BYTES, 64, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self.descriptors += descriptors
        self.closed = self.closed or not data
        self._in += data
        yield from self._messages()

    def close(self) -> None:
        """Close the socket, and the descriptors that nobody has taken."""
        self.socket.close()
        _close(self.descriptors)
        for _, descriptors in self._out:
            _close(descriptors)
        self._out.clear()

    def _transmit(self, data: bytes, descriptors: Sequence[int]) -> int:
        if descriptors:
            return socket.send_fds(self.socket, [data], list(descriptors))
        return self.socket.send(data)

    def _messages(self) -> Iterator[list[Any]]:
        while len(self._in) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._in)
            end = _LENGTH.size + size
            if len(self._in) < end:
                return
            message = msgpack.unpackb(bytes(self._in[_LENGTH.size : end]))
            del self._in[:end]
            yield message


class Nursery:
    """A nursery process and the link to it."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.link = Link(end)
        end.setblocking(False)
        #: How it ended, once it has.
        self.status: int | None = None
        #: It was asked to leave: its end is no failure.
        self.leaving = False

    def leave(self) -> None:
        """Ask it to end."""
        self.leaving = True
        self.link.send((LEAVE,))

    def has_ended(self) -> bool:
        """Whether the process is gone; collects its status if so."""
        if self.status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0  # somebody else has collected it
            self.status = status if pid else None
        return self.status is not None

    def end(self) -> int:
        """Make sure that the process has ended, close the link, and tell the wait status."""
        if not self.has_ended():
            # Its end of the link is closed: it is ending, or of no use (the script has closed everything).
            os.kill(self.pid, signal.SIGKILL)
            self.status = os.waitpid(self.pid, 0)[1]
        self.link.close()
        assert self.status is not None
        return self.status


def start_nursery() -> Nursery:
    """Start a nursery in a fresh interpreter: this process may have threads, and may have been anywhere."""
    ours, theirs = socket.socketpair()
    with theirs:
        # posix_spawn, because forking a process with threads in Python is a game of chance.
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", _START, str(Path(__file__).resolve().parents[2])],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), NURSERY_DESCRIPTOR)],
            setsigdef=[
                signal.SIGTERM,
                signal.SIGINT,
                signal.SIGUSR1,
                signal.SIGUSR2,
                signal.SIGHUP,
                signal.SIGCHLD,
            ],
        )
    return Nursery(pid, ours)


def fork_first_nursery() -> Nursery:
    """Fork the first nursery from this process, which must be young: without threads, sockets or keys.

    It saves the start of an interpreter; the child imports what runners need while its parent goes on.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            ours.close()
            from .nursery import serve

            status = serve(theirs)
        finally:
            os._exit(status)
    theirs.close()
    return Nursery(pid, ours)


def _close(descriptors: Sequence[int] | deque[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
