"""What supervisor and nursery say to each other, and the socket through which they do: messages, with descriptors."""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
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
        packed = msgpack.packb(message, unicode_errors="surrogateescape")
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
            message = msgpack.unpackb(bytes(self._in[_LENGTH.size : end]), unicode_errors="surrogateescape")
            del self._in[:end]
            yield message


def _close(descriptors: Sequence[int] | deque[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
