"""What can happen to a worker: everything its state ever learns of the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..ids import Attempt
from ..protocol.codec import Message


@dataclass(slots=True)
class Received:
    """A message of the master has come, on the connection that the state believes to have."""

    message: Message


@dataclass(slots=True)
class Connected:
    """There is a socket to speak through, as ``Connect`` asked for."""


@dataclass(slots=True)
class ConnectionLost:
    """The connection is gone, or could not be made."""

    reason: str


@dataclass(slots=True)
class RunnerStarted:
    """A runner asked for by ``Launch`` is there and waits for tasks."""

    runner: int
    pid: int


@dataclass(slots=True)
class CodeFound:
    """A runner has pickled code by value; what it creates next needs it."""

    runner: int
    sha: str
    data: bytes


@dataclass(slots=True)
class CodeNeeded:
    """A runner waits for a code blob that it has not."""

    runner: int
    sha: str


@dataclass(slots=True)
class Created:
    """A piece of the targets that a running attempt creates; ``codes`` are the code blobs that the piece needs."""

    runner: int
    piece: list[Any]
    codes: list[str]
    data: bytes


@dataclass(slots=True)
class Begun:
    """A runner has begun an attempt, at a unix time."""

    runner: int
    attempt: Attempt
    at: float


@dataclass(slots=True)
class Ended:
    """An attempt has ended by itself: returned, or raised."""

    runner: int
    row: list[Any]
    data: bytes


@dataclass(slots=True)
class Printed:
    """Output of an attempt: stream 0 is ``Target.log`` (live), 1 stdout, 2 stderr; ``offset`` counts the stream's bytes."""

    attempt: Attempt
    stream: int
    offset: int
    data: bytes
    at: float


@dataclass(slots=True)
class TakenBack:
    """The answer to ``TakeBack``: attempts that the runner had not begun."""

    runner: int
    attempts: list[Attempt]


@dataclass(slots=True)
class RunnerDied:
    """A runner is dead, with all its descendants.

    ``row`` is the end of the attempt that it was running (None if it was idle), with the cause of death; ``unbegun`` are the
    attempts that it held but had not begun; ``message`` says how it died.
    """

    runner: int
    message: str
    row: list[Any] | None = None
    data: bytes = b""
    unbegun: list[Attempt] = field(default_factory=list)


@dataclass(slots=True)
class Dumped:
    """The answer to ``Dump``: the stacks of a runner's threads, or why they can't be had."""

    attempt: Attempt
    text: str


@dataclass(slots=True)
class NurseryFailed:
    """The process that makes runners can't be had (any more)."""

    epoch: int
    message: str


@dataclass(slots=True)
class Signalled:
    """The batch system, or somebody, asks this worker to end (SIGTERM, SIGUSR1, SIGUSR2)."""

    name: str


Event = (
    Received | Connected | ConnectionLost | RunnerStarted | CodeFound | CodeNeeded | Created | Begun | Ended | Printed | TakenBack
    | RunnerDied | Dumped | NurseryFailed | Signalled
)  # fmt: skip
