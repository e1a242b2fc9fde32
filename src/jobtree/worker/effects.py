"""What a worker's state can ask for: each effect is granted by one door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..ids import Attempt
from ..protocol.codec import Message


@dataclass(slots=True)
class Task:
    """One attempt to be run, as it is given to a runner."""

    attempt: Attempt
    target: int  # the id that users see
    ordinal: int  # counts begun executions of the target, from 1
    form: list[Any]  # [name, cpus, memory bytes, gpus, time limit seconds | None, isolate]
    temp: str  # the chain's global temp dir below TREE/tmp; made on first use only
    payload: bytes
    blob: list[Any] | None = None  # [size, sha256, creator's epoch, creator's number, n] when the payload lies in TREE/blobs
    values: list[Any] = field(default_factory=list)  # kept promises: [epoch, number, n, VALUE_*, argument, bytes]
    ready: float = 0.0
    cores: list[int] = field(default_factory=list)  # that it is pinned to; none: all that the worker may use
    devices: list[str] | None = None  # the gpus that it may see; None where this worker has none at all


@dataclass(slots=True)
class Prepare:
    """Start the nursery of an epoch: it imports the user's script as it is now."""

    epoch: int
    settings: dict[str, Any]


@dataclass(slots=True)
class Discard:
    """End the nursery of an epoch, which has no runners any more."""

    epoch: int


@dataclass(slots=True)
class Launch:
    """Fork a runner from the nursery of an epoch."""

    runner: int
    epoch: int


@dataclass(slots=True)
class Give:
    """Hand tasks to a runner, which runs them in order."""

    runner: int
    tasks: list[Task]


@dataclass(slots=True)
class TakeBack:
    """Take back what a runner has not begun; answered by ``TakenBack``."""

    runner: int


@dataclass(slots=True)
class GiveCode:
    """Answer a runner's ``CodeNeeded``."""

    runner: int
    sha: str
    data: bytes


@dataclass(slots=True)
class Kill:
    """End a runner and all its descendants: SIGTERM, ``grace`` seconds later SIGKILL; answered by ``RunnerDied``.

    ``cause`` and ``message`` become the cause of death of what it runs.
    """

    runner: int
    cause: str
    message: str
    grace: float = 5.0


@dataclass(slots=True)
class Throttle:
    """Stop (``on``) or go on hearing a runner, which waits when its pipe is full: the master does not keep up with it."""

    runner: int
    on: bool


@dataclass(slots=True)
class Dump:
    """Have a runner tell where in its code it is; answered by ``Dumped``."""

    runner: int
    attempt: Attempt


@dataclass(slots=True)
class Retire:
    """Let an idle runner go; no answer."""

    runner: int


@dataclass(slots=True)
class Connect:
    """Dial the master with a new socket, at the address that the connection file names now, ``delay`` seconds from now."""

    delay: float


@dataclass(slots=True)
class Disconnect:
    """Close the socket."""


@dataclass(slots=True)
class Transmit:
    """Send a message."""

    message: Message


@dataclass(slots=True)
class Exit:
    """Leave: end all runners and nurseries, then this process."""

    status: int
    reason: str


Effect = (
    Prepare | Discard | Launch | Give | TakeBack | GiveCode | Kill | Throttle | Dump | Retire | Connect | Disconnect | Transmit
    | Exit
)  # fmt: skip
