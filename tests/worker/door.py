"""Drives a `Processes` as the supervisor's loop does, and remembers all that it tells."""

from __future__ import annotations

import itertools
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from jobtree._promise import Promise
from jobtree.errors import Cause
from jobtree.ids import Attempt
from jobtree.protocol import blobs, payload, references
from jobtree.protocol.messages import ROW_CAUSE, ROW_EPOCH, ROW_FAILURE, ROW_NUMBER, ROW_RESULT
from jobtree.worker import reaper
from jobtree.worker.effects import Give, Launch, Prepare, Task
from jobtree.worker.events import Ended, Event, Printed, RunnerDied
from jobtree.worker.nurseries import Nursery
from jobtree.worker.processes import Processes

SCRIPT = Path(__file__).with_name("script.py")
PATIENCE_SECONDS = 30.0

E = TypeVar("E")


def load_script() -> ModuleType:
    """The script as the user's process has it, so that its targets can be pickled."""
    main = sys.modules["__main__"]
    try:
        return references.load_script(references.Script(str(SCRIPT)))
    finally:
        sys.modules["__main__"] = main


class Door:
    """A `Processes` with all its events so far; `script` is the user's script, to make targets from."""

    def __init__(self, directory: Path, first: Nursery | None = None) -> None:
        self.directory = directory
        self.tree = directory / "tree"
        self.tree.mkdir(exist_ok=True)
        self.scratch = directory / "scratch"
        self.script = load_script()
        self.all: list[Event] = []
        self.processes = Processes(self.tree, self.scratch, first)
        self._numbers = itertools.count(1)

    def prepare(self, epoch: int = 1, **settings: Any) -> None:
        """Start a nursery with the script, or what `settings` say instead."""
        given = {
            "script": str(SCRIPT),
            "argv": ["script.py", "one"],
            "cwd": str(self.directory),
            "sys_path": sys.path,
            "umask": 0o022,
            "max_log_size": 50 * 1024,
        }
        self.processes.perform(Prepare(epoch, {**given, **settings}))

    def start(self, **settings: Any) -> Door:
        """Nursery 1 and runner 1."""
        self.prepare(**settings)
        self.processes.perform(Launch(1, 1))
        return self

    def task(self, target: Any, **fields: Any) -> Task:
        """An attempt at a target."""
        data = payload.dumps(target, Promise).data
        return self.raw_task(data, **fields)

    def raw_task(
        self,
        data: bytes,
        memory: int | None = None,
        limit: float | None = None,
        cpus: float = 1.0,
        **fields: Any,
    ) -> Task:
        number = next(self._numbers)
        form = ["name", cpus, memory, 0.0, limit, False]
        return Task(Attempt(1, number), 100 + number, 1, form, f"00/1-{number}", data, **fields)

    def give(self, *targets: Any, runner: int = 1, **fields: Any) -> list[Attempt]:
        """Give targets to a runner; returns their attempts."""
        tasks = [self.task(target, **fields) for target in targets]
        self.processes.perform(Give(runner, tasks))
        return [task.attempt for task in tasks]

    def call(self, source: str, **names: Any) -> Ended:
        """Run the body of a function in runner 1, to its end."""
        (attempt,) = self.give(self.script.call(source, **names))
        return self.ended(attempt)

    def turn(self, seconds: float = 0.2) -> None:
        """One turn of the loop: wait for news, but no longer than this, and hear them."""
        deadline = self.processes.deadline
        wait = seconds if deadline is None else max(0.0, min(seconds, deadline - time.time()))
        select.select([self.processes], [], [], wait)
        self.all += self.processes.events(time.time())

    def until(self, happened: Callable[[], Any]) -> Any:
        """Turn until something is the case; returns that."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := happened()):
            assert time.monotonic() < end, f"it did not happen; the last events: {self.all[-5:]}"
            self.turn()
        return found

    def heard(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.all if isinstance(event, kind)]

    def wait_for(self, kind: type[E], count: int = 1) -> E:
        """The event number `count` of a kind, when it has come."""
        self.until(lambda: len(self.heard(kind)) >= count)
        return self.heard(kind)[count - 1]

    def ended(self, attempt: Attempt) -> Ended:
        """The end of an attempt."""
        found: Ended = self.until(lambda: next((e for e in self.heard(Ended) if attempt_of(e.row) == attempt), None))
        return found

    def result(self, ended: Ended) -> Any:
        """What a successful attempt has returned."""
        assert ended.row[ROW_CAUSE] == "", ended.row[ROW_FAILURE]
        named = ended.row[ROW_RESULT]
        if isinstance(named, list):
            path = blobs.blob_path(self.tree, *attempt_of(ended.row), blobs.RESULT)
            return payload.loads(blobs.read_blob(path, blobs.BlobName(*named)))
        return payload.loads(ended.data) if named is True else None

    def output(self, attempt: Attempt, stream: int) -> str:
        """What was told of an attempt's output; asserts that nothing of it is missing or told twice."""
        pieces = [e for e in self.heard(Printed) if e.attempt == attempt and e.stream == stream]
        text = b""
        for piece in pieces:
            assert piece.offset == len(text)
            text += piece.data
        return text.decode()

    def died(self, count: int = 1) -> RunnerDied:
        """The death number `count` of a runner."""
        return self.wait_for(RunnerDied, count)


def attempt_of(row: list[Any]) -> Attempt:
    """Whose row this is."""
    return Attempt(row[ROW_EPOCH], row[ROW_NUMBER])


def cause_of(row: list[Any] | None) -> Cause:
    """The cause of death in a row."""
    assert row is not None
    return Cause(row[ROW_CAUSE])


@contextmanager
def opened(directory: Path, **settings: Any) -> Iterator[Door]:
    """A door with nursery 1 and runner 1; afterwards it is closed, and nothing may be left."""
    before = set(reaper.descendants(os.getpid()))
    door = Door(directory).start(**settings)
    try:
        yield door
    finally:
        door.processes.close(grace=0.5)
    assert set(reaper.descendants(os.getpid())) <= before
    assert os.listdir(door.scratch) == []


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    process = reaper.look(pid)
    return process is not None and not process.zombie


def wait_until(happened: Callable[[], Any]) -> Any:
    """Wait, without a door, until something is the case."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found
