"""The contract of a launcher: what it is asked, in which words it answers.

A launcher is made by the registry, or by hand, as `Launcher(command, directory, settings)`:

- `command`: the worker's command line, a list of words. `worker_command` completes it for one worker.
- `directory`: TREE/blocks, which exists; for what a launcher has to remember, and its workers' output.
- `settings`: an instance of the launcher's nested frozen dataclass `Options`; its fields all have defaults. Each becomes an
  option of a run, --LAUNCHER-FIELD; `settings.setting` gives it a help text. Fields `queue`, `account` and `args` take their
  values from --queue, --account and --launcher-args.

A launcher may have an attribute `poll_seconds`, the pause between two polls (30 if it has none), and a method
`walltime_limit() -> float | None`: how many seconds the system lets a job run, if that is limited and can be read.

Calls may take as long as the batch system takes; they come from one thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

from jobtree.errors import LauncherError
from jobtree.resources import format_size, format_time

#: One worker that was asked for, in the launcher's own words, such as "local:4711:..." or "slurm:123_4".
BlockId: TypeAlias = str


class BlockState(StrEnum):
    """Where a block stands. Only `ended` is final; in `unknown` one keeps waiting."""

    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    ERROR = "error"
    ENDED = "ended"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class BlockStatus:
    """State of a block, and the reason in words for people (may be empty)."""

    state: BlockState
    reason: str = ""


class SubmitRefused(LauncherError):
    """The system has refused a submission for good: the same one would be refused again."""


class SubmitBusy(LauncherError):
    """The system could not be served, or has no room for more jobs now: the same submission may be taken later."""


@dataclass(frozen=True, slots=True)
class WorkerSize:
    """What one worker has. `walltime_seconds` is None where nothing ends a worker from outside."""

    cpus: float
    memory_bytes: int
    gpus: int = 0
    walltime_seconds: float | None = None

    def __str__(self) -> str:
        words = [f"{self.cpus:g} cpus", f"{format_size(self.memory_bytes)} memory"]
        if self.gpus:
            words.append(f"{self.gpus} gpus")
        if self.walltime_seconds is not None:
            words.append(format_time(self.walltime_seconds))
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether workers can be started this way from here; if not, `reason` says what is missing."""

    usable: bool
    reason: str = ""


@runtime_checkable
class Launcher(Protocol):
    """Starts and ends workers. Every method raises LauncherError where the system does not do as told."""

    def submit(self, name: str, n: int, size: WorkerSize) -> list[BlockId]:
        """Ask for `n` workers under the unique `name`; gives their blocks in the order of their index.

        After an error it is open how many are on their way: ask `find(name)` before submitting again. SubmitRefused and
        SubmitBusy say that none is, and whether trying again makes sense.
        """
        ...

    def poll(self) -> dict[BlockId, BlockStatus]:
        """State and reason of all blocks of this tree, in one call; of ended ones while they are known."""
        ...

    def cancel(self, blocks: Collection[BlockId]) -> None:
        """End these blocks. Those that have ended, or are not ours, are passed over in silence."""
        ...

    def find(self, name: str) -> list[BlockId]:
        """The blocks under `name` in the order of their index, whoever submitted them.

        Those that have ended are among them while they are known: the place in the list tells the index.
        What is not a worker's own, such as an id for a whole array of jobs, is not.
        """
        ...

    def describe(self, name: str, n: int, size: WorkerSize) -> str:
        """What `submit` would do, for people; does nothing."""
        ...

    def available(self) -> Availability:
        """Whether `submit` can work here at all."""
        ...

    def output_tail(self, block: BlockId) -> str:
        """The last lines that this block's worker printed itself; empty if there are none."""
        ...


def worker_command(command: Sequence[str], name: str, index: int) -> list[str]:
    """The command line of the worker number `index` (from 0) of the block `name`."""
    return [*command, "--block", name, "--index", str(index)]
