"""What views show, as frozen dataclasses; ``to_json`` makes of them the documents of ``--json``, version 1.

Fields are only ever added. Times are unix seconds or seconds, sizes bytes; a field that ends in ``_at`` is a moment.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any

SCHEMA = 1


class State(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many targets stand where.

    ``provisional``: created by a running attempt that has not committed yet; ``held``: waiting for other targets; ``ready``:
    waiting for a worker; ``waiting``: has run, and waits for its children; ``blocked``: waits for something that has failed.
    """

    provisional: int = 0
    held: int = 0
    ready: int = 0
    running: int = 0
    waiting: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    blocked: int = 0

    @property
    def total(self) -> int:
        """All targets."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class NameCounts:
    """The targets of one name; ``retries`` are attempts that were followed by another one because they had failed."""

    name: str
    counts: Counts
    retries: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed target, and its last attempt. ``worker`` is 0 and ``host`` empty where it never ran.

    ``type`` is the exception's class, ``where`` the user's own frame (``file:line in function``), ``exit`` the exit status or
    minus the signal's number, ``output`` the last lines that the target printed. ``memory`` is the most that it held,
    ``memory_limit`` what it was allowed (0: not known), both in bytes; ``wall`` and ``time_limit`` are in seconds.
    """

    id: int
    name: str
    attempts: int
    cause: str
    message: str
    type: str
    where: str
    host: str
    worker: int
    exit: int | None
    output: str
    failed_at: float
    wall: float
    memory: int
    memory_limit: int = 0
    time_limit: float | None = None
    block: str = ""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker. ``left_at`` is None while it is there; ``holding`` counts the targets it was given and has not ended."""

    worker: int
    name: str
    host: str
    pid: int
    block: str
    index: int
    cpus: float
    memory: int
    joined_at: float
    left_at: float | None
    reason: str
    holding: int
    targets: int
    busy: float


@dataclass(frozen=True, slots=True)
class BlockView:
    """One submission of workers. ``state`` is planned, known or ended; ``ended`` counts those of its ``ids`` that are gone."""

    name: str
    pool: str
    n: int
    state: str
    ids: tuple[str, ...]
    ended: int
    reason: str
    planned_at: float


@dataclass(frozen=True, slots=True)
class Status:
    """The run as it stands. ``elapsed`` is the time that masters have spent on it, ``reason`` why the last one ended.

    ``seconds_left`` is an estimate for the targets that are known by now, from what those of their names took; None where nothing
    can be said.
    """

    tree: str
    state: State
    reason: str
    script: str
    argv: tuple[str, ...]
    epoch: int
    host: str
    pid: int
    started_at: float
    elapsed: float
    counts: Counts
    retries: int
    lost: int
    names: tuple[NameCounts, ...]
    failures: tuple[Failure, ...]
    workers: tuple[WorkerView, ...]
    blocks: tuple[BlockView, ...]
    seconds_left: float | None = None
    paused: str = ""  # why the master waits and gives nothing out: its journal can't be written
    gaps: tuple[
        str, ...
    ] = ()  # parts of the history that can't be read: what they told of finished targets is missing in the views

    @property
    def is_complete(self) -> bool:
        """Whether all is done."""
        return self.state is State.COMPLETE


@dataclass(frozen=True, slots=True)
class Spread:
    """Some numbers in five. ``median`` is the upper one: element n // 2 of n in ascending order."""

    min: float = 0.0
    median: float = 0.0
    mean: float = 0.0
    max: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class NameStats:
    """What the targets of one name took. ``count`` attempts have ended well, and the spreads are over these.

    ``time`` is wall clock, ``cpu`` user and system with subprocesses, ``wait`` from being ready to beginning (the last time,
    where it was tried again); ``memory`` the peak. ``failed`` counts attempts that failed, ``wasted`` their seconds, ``lost``
    those that went down with their worker. ``asked_memory`` is the most that was asked for (0: nothing was said),
    ``memory_efficiency`` the highest peak over that, ``cpu_efficiency`` the cpu-seconds used over those set aside; None: unknown.
    """

    name: str
    count: int
    retries: int
    failed: int
    lost: int
    wasted: float
    time: Spread
    cpu: Spread
    wait: Spread
    memory: Spread
    asked_memory: int = 0
    memory_efficiency: float | None = None
    cpu_efficiency: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """What the workers did. ``time`` is how long each was there, ``cpu`` and ``memory`` what its targets used.

    ``wait`` is the part of its time for which its cpus had no target; ``targets`` how many each has ended; ``utilisation`` the
    share of the workers' cpu-seconds in which a target ran, and ``core_seconds`` how many these were.
    """

    count: int
    utilisation: float
    time: Spread
    cpu: Spread
    wait: Spread
    memory: Spread
    targets: Spread
    core_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics over the whole life of a tree, all restarts included."""

    tree: str
    state: State
    elapsed: float
    workers: WorkerStats
    targets: NameStats
    names: tuple[NameStats, ...]
    gaps: tuple[str, ...] = ()  # parts of the history that can't be read: what took place there is not counted


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a target's output. ``stream`` is out, err or log; ``level`` is empty but for log.

    A line whose ``missing`` is not 0 has no text: so many bytes of the stream were dropped.
    """

    at: float
    target: int
    name: str
    attempt: int
    stream: str
    level: str
    text: str
    missing: int = 0


def to_json(view: Status | Stats | LogLine) -> dict[str, Any]:
    """The document of a view."""
    return {"schema": SCHEMA, **_plain(view)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
