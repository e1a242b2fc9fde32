"""A worker that answers without running anything, so that only the master's work is left: its sockets, its turns and its disk.

The root, whatever it is, gets as many children as the environment says; each of them ends as soon as it has come. It writes the
seconds from the first child to the end into TREE/zero, and makes TREE/given when it is given a child; it never ends one if it is
told to be silent.
"""

from __future__ import annotations

import os
import platform
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jobtree import __version__
from jobtree.launchers import registry
from jobtree.launchers.local import LocalLauncher
from jobtree.protocol.codec import Message
from jobtree.protocol.keys import read_connection
from jobtree.protocol.messages import Type
from jobtree.protocol.session import Session
from jobtree.worker.connection import Connector
from jobtree.worker.events import Connected, Received

COUNT, SILENT = "JOBTREE_BENCHMARK_COUNT", "JOBTREE_BENCHMARK_SILENT"
SILENT_SECONDS = 30.0
PIECE = 1000
#: Ends in one message, as a real worker sends them at the most.
GATHER = 500
#: Messages that may wait for their acknowledgement.
WINDOW = 32
PAYLOAD = b"x" * 49


class Launcher(LocalLauncher):
    """Starts this worker in the place of the real one."""

    def __init__(self, command: Sequence[str], directory: Path, settings: Any = None) -> None:
        super().__init__([sys.executable, "-m", "benchmarks.zero", os.fspath(directory.parent)], directory)


def use(count: int, *, silent: bool = False) -> dict[str, str]:
    """Options of a run with this worker."""
    registry.BUILT_IN["zero"] = "benchmarks.zero:Launcher"
    os.environ[COUNT] = str(count)
    os.environ[SILENT] = "1" if silent else ""
    return {"launcher": "zero", "workers": "1:1"}


class _Worker:
    def __init__(self, tree: Path, arguments: list[str]) -> None:
        self._tree = tree
        self._count = int(os.environ[COUNT])
        self._block, self._index = arguments[1], int(arguments[3])
        self._connector = Connector(tree / "connection")
        self._session = Session(1)
        self._epoch = 0
        self._acked = 0
        self._sent = 0
        self._begun = 0.0

    def run(self) -> None:
        """Answer until the master says stop."""
        (self._tree / "zero.pid").write_text(str(os.getpid()))
        self._connector.dial(0.0)
        heard = time.monotonic()
        while time.monotonic() - heard < SILENT_SECONDS:  # else its master is gone, or has refused it
            for event in self._connector.poll(1.0):
                match event:
                    case Connected():
                        self._greet()
                    case Received(message) if self._session.accepts(message):
                        heard = time.monotonic()
                        if self._obey(message):
                            self._connector.close(0.1)
                            return

    def _obey(self, message: Message) -> bool:
        match message.type:
            case Type.WELCOME:
                self._epoch = message.epoch
            case Type.ACK:
                self._acked = message.body[0]
            case Type.RUN:
                self._answer(message.body[1])
            case Type.STOP:  # it comes when the last end is on disk
                if self._begun:
                    (self._tree / "zero").write_text(str(time.monotonic() - self._begun))
                return True
        return False

    def _answer(self, groups: list[list[Any]]) -> None:
        attempts = [(number + at, target + at) for number, target, count, *_ in groups for at in range(count)]
        rows = []
        if any(target != 1 for _, target in attempts):
            (self._tree / "given").touch()
        for number, target in attempts:
            if target == 1:
                self._create(number)
                rows.append(self._row(number, self._count))
            elif not os.environ[SILENT]:
                rows.append(self._row(number, 0))
        for some in _batched(rows, GATHER):
            self._send(Type.DONE, [some, [0] * len(some)])

    def _create(self, number: int) -> None:
        self._begun = time.monotonic()
        for first in range(1, self._count + 1, PIECE):
            size = min(PIECE, self._count + 1 - first)
            piece = [self._epoch, number, first, [["noop", None, {}]], [0, size], {}, [len(PAYLOAD)] * size]
            self._send(Type.CHILDREN, [[], [piece]], PAYLOAD * size)
            while self._sent - self._acked > WINDOW:
                for event in self._connector.poll(1.0):
                    if isinstance(event, Received) and self._session.accepts(event.message):
                        self._obey(event.message)

    def _row(self, number: int, created: int) -> list[Any]:
        return [self._epoch, number, "", created, 0, None, None, time.time(), 1e-5, 1e-5, 0.0, 30_000_000, None, None]

    def _greet(self) -> None:
        connection = read_connection(self._tree / "connection")
        about = {
            "version": __version__, "python": f"{sys.version_info.major}.{sys.version_info.minor}", "run": connection.run,
            "uid": secrets.token_hex(8), "block": self._block, "index": self._index, "host": platform.node(), "pid": os.getpid(),
            "cpus": 2.0, "memory": 8 << 30, "gpus": 0.0, "left": 0.0, "seen": [0, 0], "held": [],
        }  # fmt: skip
        self._send(Type.HELLO, [about])

    def _send(self, kind: Type, body: list[Any], data: bytes = b"") -> None:
        self._sent = self._session.next_number()
        assert self._connector.send(Message(kind, self._epoch, self._session.id, self._sent, body, data)), "the line is full"


def _batched(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


if __name__ == "__main__":
    _Worker(Path(sys.argv[1]), sys.argv[2:]).run()
