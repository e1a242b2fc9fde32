"""Attributes what a runner's processes write to stdout and stderr to the attempts that wrote it, as it comes.

The runner's two descriptors are pipes, and the supervisor always reads them, so user code never blocks on
its output. Where one attempt's output ends, the runner writes a *marker*, a secret that nobody can print by
chance and the attempt's numbers, into the same pipes; it does so only for attempts that may have printed.
What comes before a marker is that attempt's. What no marker has followed yet belongs to the attempt that
runs while it is read, if the same one ran before and after the reading. What is printed while nothing runs
(by a daemon that a target has left behind) is nobody's, and dropped.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable, Iterator

from jobtree.ids import Attempt

from .events import Printed

SECRET_BYTES = 16
TAIL_BYTES = 64 * 1024
TAIL_LINES = 50
#: What an attempt may print before only the last bytes of it are kept.
LIVE_BYTES = 1 << 20

_NUMBERS = struct.Struct("<QQ")
_MARKER_BYTES = SECRET_BYTES + _NUMBERS.size
_READ_BYTES = 1 << 16
#: Read in one turn, so that a runner that never stops printing does not stop the others.
_TURN_BYTES = 1 << 20
_PIECE_BYTES = 256 * 1024

Running = Callable[[], Attempt | None]


def marker(secret: bytes, attempt: Attempt) -> bytes:
    """What a runner writes behind the output of an attempt; short enough to stay in one piece in a pipe."""
    return secret + _NUMBERS.pack(*attempt)


class Capture:
    """The output of one runner: `stdout` and `stderr` are the read ends of its pipes, non-blocking."""

    def __init__(self, stdout: int, stderr: int, secret: bytes, max_log_size: int) -> None:
        self._streams = {1: _Stream(stdout, secret), 2: _Stream(stderr, secret)}
        self._max_log_size = max_log_size
        self._logs: dict[Attempt, _Log] = {}

    def pump(self, number: int, running: Running, at: float) -> list[Printed]:
        """Read what stream `number` has (1 or 2); returns what may be passed on already."""
        stream = self._streams[number]
        printed: list[Printed] = []
        for _ in range(_TURN_BYTES // _READ_BYTES):
            before = running()
            more = stream.read()
            printed += self._settled(number, at)
            if before == running():
                printed += self._append(before, number, stream.loose(), at)
            if not more:
                break
        return printed

    def knows(self, attempt: Attempt) -> bool:
        """Whether the attempt has printed anything, as far as is known."""
        return attempt in self._logs

    def finish(self, attempt: Attempt, marked: int, at: float) -> tuple[list[Printed], str]:
        """The rest of what an ended attempt has printed, and the last lines of all of it.

        Bits 1 and 2 of `marked` say in which streams there is a marker: that far they are read.
        """
        printed: list[Printed] = []
        for number, stream in self._streams.items():
            while marked & number and attempt not in stream.markers and stream.read():
                printed += self._settled(number, at)
            stream.markers.discard(attempt)
        log = self._logs.pop(attempt, None)
        return (printed + log.rest(at), log.tail()) if log is not None else (printed, "")

    def drain(self, attempt: Attempt | None, at: float) -> list[Printed]:
        """All that is left in a dead runner's pipes; what no marker follows is `attempt`'s, the last one."""
        printed: list[Printed] = []
        for number, stream in self._streams.items():
            more = True
            while more:
                more = stream.read()
                printed += self._settled(number, at)
                printed += self._append(attempt, number, stream.loose(last=not more), at)
        return printed

    @property
    def unsettled(self) -> bool:
        """True while there are bytes whose attempt is not known yet: `pump` will know soon."""
        return any(stream.buffer for stream in self._streams.values())

    def is_silent(self, number: int) -> bool:
        """Whether nobody is left who could print to stream `number`."""
        return self._streams[number].silent

    def close(self) -> None:
        """Close the read ends."""
        for stream in self._streams.values():
            os.close(stream.descriptor)

    def _settled(self, number: int, at: float) -> list[Printed]:
        found = self._streams[number].cut()
        return [piece for attempt, data in found for piece in self._append(attempt, number, data, at)]

    def _append(self, attempt: Attempt | None, number: int, data: bytes, at: float) -> list[Printed]:
        if not data or attempt is None:
            return []
        log = self._logs.get(attempt)
        if log is None:
            log = self._logs[attempt] = _Log(attempt, self._max_log_size)
        return log.append(number, data, at)


class _Stream:
    """One pipe, cut at the markers."""

    def __init__(self, descriptor: int, secret: bytes) -> None:
        self.descriptor = descriptor
        self.silent = False
        self.buffer = bytearray()
        self.markers: set[Attempt] = set()
        self._secret = secret

    def read(self) -> bool:
        """Read once; False when there is nothing (now, or any more)."""
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        self.buffer += data
        self.silent = not data
        return bool(data)

    def cut(self) -> Iterator[tuple[Attempt, bytes]]:
        """What lies before each marker, with the attempt that the marker names."""
        while (at := self.buffer.find(self._secret)) >= 0 and at + _MARKER_BYTES <= len(self.buffer):
            attempt = Attempt(*_NUMBERS.unpack_from(self.buffer, at + SECRET_BYTES))
            data = bytes(self.buffer[:at])
            del self.buffer[: at + _MARKER_BYTES]
            self.markers.add(attempt)
            yield attempt, data

    def loose(self, last: bool = False) -> bytes:
        """What lies behind the last marker, but for what may be half of another one; all of it if `last`."""
        size = len(self.buffer) if last else len(self.buffer) - self._half_marker()
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def _half_marker(self) -> int:
        at = self.buffer.find(self._secret)
        if at >= 0:
            return len(self.buffer) - at
        longest = min(SECRET_BYTES - 1, len(self.buffer))
        return next((n for n in range(longest, 0, -1) if self.buffer.endswith(self._secret[:n])), 0)


class _Log:
    """What one attempt has printed: how much, and the end of it."""

    def __init__(self, attempt: Attempt, max_log_size: int) -> None:
        self._attempt = attempt
        self._keep = max_log_size
        self._credit = max(LIVE_BYTES, max_log_size)
        self._sizes = {1: 0, 2: 0}
        self._rings = {1: bytearray(), 2: bytearray()}
        self._tail: deque[bytes] = deque()
        self._tail_size = 0

    def append(self, stream: int, data: bytes, at: float) -> list[Printed]:
        """Take note of new output; what is within the limit is passed on at once."""
        self._remember(data)
        passed = data[: self._credit]
        self._credit -= len(passed)
        offset = self._sizes[stream]
        self._sizes[stream] += len(data)
        self._rings[stream] += data[len(passed) :]
        if len(self._rings[stream]) > 2 * self._keep:
            del self._rings[stream][: -self._keep or None]
        return self._pieces(stream, offset, passed, at)

    def rest(self, at: float) -> list[Printed]:
        """The last bytes of what was over the limit; their offsets show the gap."""
        printed = []
        for stream, ring in self._rings.items():
            data = bytes(ring[-self._keep :]) if self._keep else b""
            printed += self._pieces(stream, self._sizes[stream] - len(data), data, at)
        return printed

    def tail(self) -> str:
        """The last lines of both streams, in the order in which they were read."""
        text = b"".join(self._tail)[-TAIL_BYTES:].decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _remember(self, data: bytes) -> None:
        self._tail.append(data[-TAIL_BYTES:])
        self._tail_size += len(self._tail[-1])
        while self._tail_size - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_size -= len(self._tail.popleft())

    def _pieces(self, stream: int, offset: int, data: bytes, at: float) -> list[Printed]:
        starts = range(0, len(data), _PIECE_BYTES)
        return [Printed(self._attempt, stream, offset + i, data[i : i + _PIECE_BYTES], at) for i in starts]
