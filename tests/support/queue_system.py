"""A batch system of files, for tests: jobs wait in a queue until it is open, and then are processes of this machine.

What a job asked for is written down, and every command that the launcher gives is counted.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import (
    Availability,
    BlockState,
    BlockStatus,
    SubmitRefused,
    WorkerSize,
    worker_command,
)

#: Bytes of the largest node.
LARGEST = 64 << 30


class QueueLauncher:
    """Workers as jobs of $QUEUE: each has a file there, NAME.INDEX; the file `closed` keeps all of them waiting."""

    poll_seconds = 30.0

    @dataclass(frozen=True)
    class Options:
        """No settings."""

    def __init__(self, command: Sequence[str], directory: Path, settings: Options | None = None) -> None:
        self._command = list(command)
        self._directory = directory
        self._queue = Path(os.environ["QUEUE"])

    def _count(self, command: str) -> None:
        with (self._queue / "commands").open("a") as file:
            file.write(f"{command}\n")

    def submit(self, name: str, n: int, size: WorkerSize) -> list[str]:
        """Put them into the queue; a shell waits until it is open, and becomes the worker."""
        self._count("submit")
        if size.memory_bytes > LARGEST:
            raise SubmitRefused(["put"], 1, "no node has so much memory")
        return [self._start(name, index, size) for index in range(n)]

    def _start(self, name: str, index: int, size: WorkerSize) -> str:
        line = 'while [ -e "$QUEUE/closed" ]; do sleep 0.1; done; exec "$@"'
        argv = ["sh", "-c", line, "job", *worker_command(self._command, name, index)]
        with (self._directory / f"{name}.{index}.out").open("ab") as out:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        about = {"pid": process.pid, "cpus": size.cpus, "memory": size.memory_bytes}
        new = self._queue / f"{name}.{index}.new"
        new.write_text(json.dumps(about))
        new.rename(new.with_suffix(".job"))
        return f"queue:{name}.{index}"

    def poll(self) -> dict[str, BlockStatus]:
        """All jobs."""
        self._count("poll")
        closed = (self._queue / "closed").exists()
        state = BlockState.PENDING if closed else BlockState.RUNNING
        return {
            f"queue:{path.stem}": BlockStatus(state if _alive(_pid(path)) else BlockState.ENDED)
            for path in self._queue.glob("*.job")
        }

    def cancel(self, blocks: Collection[str]) -> None:
        """Kill them."""
        self._count("cancel")
        for block in blocks:
            pid = _pid(self._queue / f"{block.removeprefix('queue:')}.job")
            if _alive(pid):
                os.kill(pid, 15)

    def find(self, name: str) -> list[str]:
        """By their files."""
        self._count("find")
        found = [path.stem for path in self._queue.glob("*.job") if path.stem.rpartition(".")[0] == name]
        return [f"queue:{stem}" for stem in sorted(found, key=lambda stem: int(stem.rpartition(".")[2]))]

    def describe(self, name: str, n: int, size: WorkerSize) -> str:
        """What it would be."""
        return f"put {n} of {name} into the queue, each with {size}"

    def available(self) -> Availability:
        """Always."""
        return Availability(True)

    def output_tail(self, block: str) -> str:
        """The end of its file."""
        try:
            return (self._directory / f"{block.removeprefix('queue:')}.out").read_text()[-2000:]
        except OSError as error:
            raise LauncherError(["read", block], None, str(error)) from error


def _pid(path: Path) -> int:
    return int(json.loads(path.read_text())["pid"])


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
