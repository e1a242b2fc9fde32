"""What a supervisor and a runner say to each other, in what bytes: tasks, reports, and what runs now.

*Tasks* are datagrams of a socket pair, one each; the supervisor keeps both ends and can take back what is
still unread. A task too large for a datagram lies in a file which the datagram names. *Reports* come back
through a pipe, framed: the lengths of a msgpack head and of the data behind it. The *page* is memory that
both have mapped; it names the attempt that runs, at no system call.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Any

import msgpack

from jobtree.ids import Attempt

from .effects import Task

#: Kinds of reports, the first field of their heads.
ENDED = 1  # [marked streams, row], result
CREATED = 2  # [piece, names of code blobs], payloads
CODE_FOUND = 3  # [sha], code blob
CODE_NEEDED = 4  # [sha]
LOGGED = 5  # [epoch, number, unix time, level, text]

#: A larger task goes through a file; far below what every kernel's socket buffers take.
LARGEST_DATAGRAM = 96 * 1024
#: A datagram of this one byte asks the runner to leave.
LEAVE = b"\0"
#: What a code blob's name has of bytes, on the pipe that says that its file is there.
SHA_BYTES = 64

#: Of a longer line of `Target.log` the end is kept (bytes).
LARGEST_MESSAGE = 32 * 1024

PAGE_BYTES = 4096
_SPILLED_FIELDS = 3
#: Paths may hold bytes that are no UTF-8: what Python makes of them goes there and back.
_TEXT_ERRORS = "surrogateescape"
_PAGE = struct.Struct("<QQd")
_LENGTHS = struct.Struct("<II")


def pack_task(task: Task) -> bytes:
    """A task as the datagram that brings it to the runner."""
    packed: bytes = msgpack.packb(
        (
            *task.attempt, task.target, task.ordinal, task.form, task.temp, task.payload, task.blob,
            task.values, task.ready, task.cores, task.devices,
        ),
        unicode_errors=_TEXT_ERRORS,
    )  # fmt: skip
    return packed


def read_task(datagram: bytes | memoryview) -> Task:
    """The task that a datagram brings, or names the file of; the file is removed."""
    fields = _unpack(datagram)
    if len(fields) == _SPILLED_FIELDS:
        path = fields[2]
        with open(path, "rb") as file:
            fields = _unpack(file.read())
        os.unlink(path)
    return Task(Attempt(fields[0], fields[1]), *fields[2:])


def pack_spilled(attempt: Attempt, path: str) -> bytes:
    """The datagram for a task that lies in a file."""
    packed: bytes = msgpack.packb((*attempt, path), unicode_errors=_TEXT_ERRORS)
    return packed


def attempt_of(datagram: bytes) -> Attempt:
    """Whose task a datagram brings."""
    fields = _unpack(datagram)
    return Attempt(fields[0], fields[1])


def pack_report(head: tuple[Any, ...], data: bytes = b"") -> bytes:
    """One frame of the report pipe."""
    packed: bytes = msgpack.packb(head, unicode_errors=_TEXT_ERRORS)
    return _LENGTHS.pack(len(packed), len(data)) + packed + data


class Reports:
    """Cuts what comes through the report pipe into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[list[Any], bytes]]:
        """The heads and data of all frames that are complete now."""
        self._buffer += data
        buffer = bytes(self._buffer) if len(self._buffer) != len(data) else data
        at = 0
        while at + _LENGTHS.size <= len(buffer):
            head_size, data_size = _LENGTHS.unpack_from(buffer, at)
            start = at + _LENGTHS.size
            middle = start + head_size
            if middle + data_size > len(buffer):
                break
            at = middle + data_size
            yield _unpack(buffer[start:middle]), buffer[middle:at]
        del self._buffer[:at]


def _unpack(data: bytes | memoryview) -> Any:
    return msgpack.unpackb(data, strict_map_key=False, unicode_errors=_TEXT_ERRORS)


def show(page: mmap, epoch: int, number: int, started: float) -> None:
    """Say, in the runner, what runs now; number 0 for nothing."""
    _PAGE.pack_into(page, 0, epoch, number, started)


def shown(page: mmap) -> tuple[Attempt | None, float]:
    """What runs now and since when (unix time), as the runner says; nonsense if caught in a change."""
    epoch, number, started = _PAGE.unpack_from(page, 0)
    return (Attempt(epoch, number) if number else None), started
