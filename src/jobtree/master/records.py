"""What the journal remembers: each record is a decision, in the past tense, and applying them in order is the whole truth.

In the journal a record is ``[code, lengths or 0, field, ...]`` and the bytes of its payloads, which nobody here looks into. The
payloads of a record are named by (number of the record, index). Times (``at``) are unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from ..errors import JournalDamaged

T = TypeVar("T")


#: Targets or attempts in one record at the most: it has to fit into a frame of 1 MiB.
MOST_LISTED = 20_000


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in pieces of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass(slots=True)
class Record:
    """The base of all records; ``code`` is what the journal writes for the type."""

    code: ClassVar[int] = 0


@dataclass(slots=True)
class WithPayloads(Record):
    """A record that brings payloads: their lengths, and their bytes one behind the other."""

    lengths: list[int] = field(default_factory=list)
    data: bytes = b""


@dataclass(slots=True)
class RunDescribed(Record):
    """The first record of a tree: which run it is.

    ``about``: script, argv, cwd, sys_path, umask, digest (of the root), name (of the root's class or function), version, python.
    """

    code: ClassVar[int] = 1
    at: float
    about: dict[str, Any]


@dataclass(slots=True)
class EpochBegan(Record):
    """A master has started (epoch 1) or taken up the tree again; what was running is in limbo from here on."""

    code: ClassVar[int] = 2
    at: float
    epoch: int
    host: str
    pid: int
    options: dict[str, Any]


@dataclass(slots=True)
class TargetsCreated(WithPayloads):
    """A piece of what a running attempt creates, provisional until the attempt commits; the root's creator is (0, 0).

    Ids count up from ``first``; ``first_n``, ``forms``, ``runs`` and ``extras`` are those of the piece (``protocol.messages``).
    """

    code: ClassVar[int] = 3
    at: float = 0.0
    epoch: int = 0
    number: int = 0
    first: int = 0
    first_n: int = 1
    forms: list[list[Any]] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    extras: dict[int, list[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class CodeAdded(WithPayloads):
    """Code that is pickled by value, kept as long as the tree: one payload, named by its SHA-256."""

    code: ClassVar[int] = 4
    sha: str = ""


@dataclass(slots=True)
class AttemptsAssigned(Record):
    """Targets were given to a worker; attempts count up from ``first``, ``targets`` is ``[first id, count, ...]``."""

    code: ClassVar[int] = 5
    at: float
    worker: int
    first: int
    targets: list[int]


@dataclass(slots=True)
class AttemptsStarted(Record):
    """Attempts that last have begun: ``[epoch, number, unix seconds], ...``."""

    code: ClassVar[int] = 6
    attempts: list[list[Any]]


@dataclass(slots=True)
class AttemptsReturned(Record):
    """Attempts were given back before they began: ``[epoch, number], ...``; their targets are ready again."""

    code: ClassVar[int] = 7
    at: float
    attempts: list[list[int]]


@dataclass(slots=True)
class AttemptsAdopted(Record):
    """A worker that outlived a master goes on with attempts of an earlier epoch: ``[epoch, number, target], ...``."""

    code: ClassVar[int] = 8
    at: float
    worker: int
    attempts: list[list[int]]


@dataclass(slots=True)
class AttemptsCommitted(WithPayloads):
    """Attempts have ended well, in the rows of ``protocol.messages``: what they created exists from now on."""

    code: ClassVar[int] = 9
    at: float = 0.0
    worker: int = 0
    rows: list[list[Any]] = field(default_factory=list)


@dataclass(slots=True)
class AttemptsFailed(WithPayloads):
    """Attempts have ended badly. ``verdicts`` says when each row's target may be tried again (unix seconds), or None: never.

    ``memory`` has, by the row's place, the bytes that a target which ran out of memory asks for from now on.
    """

    code: ClassVar[int] = 10
    at: float = 0.0
    worker: int = 0
    rows: list[list[Any]] = field(default_factory=list)
    verdicts: list[float | None] = field(default_factory=list)
    memory: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class AttemptsLost(Record):
    """Attempts went down with their worker: ``[epoch, number, 1 if it counts against the target], ...``; tried again for free."""

    code: ClassVar[int] = 11
    at: float
    worker: int
    reason: str
    attempts: list[list[int]]
    cause: str = "worker-lost"  # or node-lost, or walltime


@dataclass(slots=True)
class TargetsRetried(Record):
    """Failed or cancelled targets are ready again, with all their attempts; asking for ``memory`` bytes from now on, if given."""

    code: ClassVar[int] = 12
    at: float
    targets: list[int]
    memory: int | None = None


@dataclass(slots=True)
class SubtreesCancelled(Record):
    """Targets were cancelled, with everything below them."""

    code: ClassVar[int] = 13
    at: float
    targets: list[int]


@dataclass(slots=True)
class TargetsRefused(Record):
    """Ready targets have failed without an attempt: no worker that may be had can run them."""

    code: ClassVar[int] = 21
    at: float
    targets: list[int]
    cause: str
    message: str


@dataclass(slots=True)
class BlockPlanned(Record):
    """A submission is about to be made: ``n`` workers from a pool."""

    code: ClassVar[int] = 14
    at: float
    name: str
    pool: str
    n: int
    cpus: float = 0.0  # of each worker; 0: what the pool says
    memory: int = 0  # bytes
    gpus: float = 0.0


@dataclass(slots=True)
class BlockKnown(Record):
    """The launcher has taken a submission; ``ids`` are its own words for the workers."""

    code: ClassVar[int] = 15
    at: float
    name: str
    ids: list[str]


@dataclass(slots=True)
class BlockEnded(Record):
    """One id of a block is gone, or (``id`` empty) the whole block never came to be."""

    code: ClassVar[int] = 16
    at: float
    name: str
    id: str
    reason: str


@dataclass(slots=True)
class BlockNoted(Record):
    """How the batch system says that ``count`` workers of a submission stand, and why; the worst that it says of any."""

    code: ClassVar[int] = 30
    at: float
    name: str
    state: str
    count: int
    reason: str


@dataclass(slots=True)
class WorkerJoined(Record):
    """A worker was heard of for the first time; it is ``worker`` from now on."""

    code: ClassVar[int] = 17
    at: float
    worker: int
    uid: str
    host: str
    pid: int
    block: str
    index: int
    cpus: float
    memory: int
    gpus: float = 0.0


@dataclass(slots=True)
class WorkerLeft(Record):
    """A worker said good-bye or was declared lost."""

    code: ClassVar[int] = 18
    at: float
    worker: int
    reason: str


@dataclass(slots=True)
class RunEnded(Record):
    """The master has stopped: state is complete, failed or stopped."""

    code: ClassVar[int] = 19
    at: float
    state: str
    reason: str


@dataclass(slots=True)
class Summary(Record):
    """Counts of all targets by name and phase, so that a reader need not start at the beginning."""

    code: ClassVar[int] = 20
    at: float
    counts: dict[str, list[int]]


@dataclass(slots=True)
class SnapshotTaken(Record):
    """The frames from ``first`` to before ``last`` are in a snapshot and a part of the history; older files may go."""

    code: ClassVar[int] = 22
    at: float
    first: int
    last: int
    bytes: int
    sha: str


@dataclass(slots=True)
class DoorClosed(Record):
    """Nobody will submit targets to this session any more: it ends with the last one of them."""

    code: ClassVar[int] = 41
    at: float


@dataclass(slots=True)
class LossAccepted(Record):
    """The journal had lost something, and somebody has decided to go on without it.

    ``epoch`` is the first one after the loss; the first ``records`` of the journal are what they have always been.
    """

    code: ClassVar[int] = 40
    at: float
    epoch: int
    records: int
    reason: str


TYPES: dict[int, type[Record]] = {
    kind.code: kind
    for kind in (
        RunDescribed, EpochBegan, TargetsCreated, CodeAdded, AttemptsAssigned, AttemptsStarted, AttemptsReturned,
        AttemptsAdopted, AttemptsCommitted, AttemptsFailed, AttemptsLost, TargetsRetried, SubtreesCancelled,
        TargetsRefused, BlockPlanned,
        BlockKnown, BlockEnded, BlockNoted, WorkerJoined, WorkerLeft, RunEnded, Summary, SnapshotTaken, LossAccepted, DoorClosed,
    )
}  # fmt: skip

_NAMES = {kind: [f.name for f in fields(kind) if f.name not in ("lengths", "data")] for kind in TYPES.values()}
#: Fields at the end that former versions did not write.
_ADDED: dict[type[Record], int] = {BlockPlanned: 3}


def encode(record: Record) -> tuple[list[Any], bytes]:
    """The head and the payload bytes that the journal keeps of ``record``."""
    kind = type(record)
    values = [getattr(record, name) for name in _NAMES[kind]]
    if isinstance(record, WithPayloads):
        return [kind.code, record.lengths, *values], record.data
    return [kind.code, 0, *values], b""


def decode(head: list[Any], data: bytes = b"") -> Record:
    """The record of a head; JournalDamaged for one that this version does not know."""
    kind = TYPES.get(head[0])
    if kind is None:
        raise JournalDamaged(f"record type {head[0]} is unknown: this journal was written by a newer jobtree")
    values = head[2:]
    names = _NAMES[kind]
    if not len(names) - _ADDED.get(kind, 0) <= len(values) <= len(names):
        raise JournalDamaged(f"{kind.__name__} has {len(values)} fields where {len(names)} are due")
    if issubclass(kind, WithPayloads):
        return kind(head[1] or [], data, *values)
    return kind(*values)
