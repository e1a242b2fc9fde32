"""What the tree is made of: forms, runs of waiting targets, single nodes, and the results that promises stand for."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, unique
from typing import Any, Final, NamedTuple

from ..ids import FOLLOW_ON, NOBODY, Attempt


@unique
class Phase(IntEnum):
    """Where a target stands. The allowed moves are ``MOVES``."""

    PROVISIONAL = 0
    HELD = 1
    READY = 2
    RUNNING = 3
    WAITING = 4
    DONE = 5
    FAILED = 6
    CANCELLED = 7
    BLOCKED = 8


#: Every move that a target can make, with what makes it: a record, or (in lower case) a state of its surroundings.
MOVES: Final[dict[tuple[Phase, Phase], str]] = {
    (Phase.PROVISIONAL, Phase.READY): "AttemptsCommitted",
    (Phase.PROVISIONAL, Phase.HELD): "AttemptsCommitted",
    (Phase.HELD, Phase.READY): "all that it waits for has ended",
    (Phase.HELD, Phase.BLOCKED): "something that it waits for has failed",
    (Phase.BLOCKED, Phase.HELD): "what had failed is tried again",
    (Phase.READY, Phase.RUNNING): "AttemptsAssigned",
    (Phase.READY, Phase.FAILED): "TargetsRefused",
    (Phase.RUNNING, Phase.READY): "AttemptsReturned, AttemptsLost, AttemptsFailed with a verdict to try again",
    (Phase.RUNNING, Phase.FAILED): "AttemptsFailed with the verdict never",
    (Phase.RUNNING, Phase.WAITING): "AttemptsCommitted",
    (Phase.WAITING, Phase.DONE): "no open children left",
    (Phase.FAILED, Phase.READY): "TargetsRetried",
    (Phase.CANCELLED, Phase.READY): "TargetsRetried",
    (Phase.CANCELLED, Phase.HELD): "TargetsRetried",
    (Phase.CANCELLED, Phase.BLOCKED): "TargetsRetried",
    (Phase.CANCELLED, Phase.WAITING): "TargetsRetried, of something below it",
    (Phase.HELD, Phase.CANCELLED): "SubtreesCancelled; what it belongs to has ended without it",
    (Phase.READY, Phase.CANCELLED): "SubtreesCancelled",
    (Phase.RUNNING, Phase.CANCELLED): "SubtreesCancelled",
    (Phase.WAITING, Phase.CANCELLED): "SubtreesCancelled",
    (Phase.FAILED, Phase.CANCELLED): "SubtreesCancelled",
    (Phase.BLOCKED, Phase.CANCELLED): "SubtreesCancelled; what it belongs to has ended without it",
}

PHASES: Final = len(Phase)


class Form:
    """What is the same for many targets: name, tolerance and requests; and how many targets of the name stand where."""

    __slots__ = ("name", "requests", "shape", "tally", "tolerant")

    def __init__(self, name: str, tolerant: bool | None, requests: dict[str, Any], tally: list[int]) -> None:
        self.name = name
        self.tolerant = tolerant
        self.requests = requests
        self.tally = tally
        self.shape: Any = None  # the scheduler's own, made on first sight


class Source(NamedTuple):
    """Where a payload lies: a record of the journal and an index in it."""

    record: int
    place: int


class Slot:
    """A result that somebody has been promised: unknown at first, then kept by a value, a failure or a cancellation.

    ``kind`` is None until it is kept, then a ``VALUE_*``. ``embeds`` are the promises inside the value, each with its own slot.
    """

    __slots__ = ("argument", "attempt", "embeds", "kind", "size", "source", "spilled", "uses")

    def __init__(self) -> None:
        self.kind: int | None = None
        self.argument: Any = None
        self.source: Source | None = None
        self.size = 0  # bytes of an inline value
        self.attempt = NOBODY  # whose result it is
        self.spilled = False  # an inline value was written to TREE/blobs, since too much of it would go through messages
        self.embeds: list[tuple[tuple[int, int, int], Slot]] = []
        self.uses = 0  # takers that have not committed yet; the blob of a result goes with the last one


class Watch:
    """What hangs on one thing that an attempt created: its result's slot, and the siblings that wait for its chain to end."""

    __slots__ = ("slot", "takers")

    def __init__(self) -> None:
        self.slot: Slot | None = None
        self.takers: list[Node] = []


class Piece(NamedTuple):
    """A record of provisional targets, kept with the attempt that made them until it commits or fails."""

    record: int
    first: int
    first_n: int
    size: int
    forms: list[Form]
    runs: list[int]
    extras: dict[int, list[Any]]
    mean: int  # bytes of a payload


class Run:
    """Waiting targets that differ in their payloads only, with consecutive ids; they become nodes one by one when dispatched.

    ``withdrawn``: they were cancelled, and may be brought back.
    """

    __slots__ = (
        "count", "creator", "first", "first_n", "form", "index", "mean", "parent", "ready_at", "record", "withdrawn",
    )  # fmt: skip

    def __init__(
        self,
        parent: Node,
        creator: Attempt,
        form: Form,
        first: int,
        first_n: int,
        count: int,
        source: Source,
        mean: int,
        at: float,
    ) -> None:
        self.parent = parent
        self.creator = creator
        self.form = form
        self.first = first
        self.first_n = first_n
        self.count = count
        self.record = source.record
        self.index = source.place
        self.mean = mean
        self.ready_at = at
        self.withdrawn = False

    @property
    def phase(self) -> Phase:
        """Where all of them stand."""
        return Phase.CANCELLED if self.withdrawn else Phase.READY

    @property
    def depth(self) -> int:
        return self.parent.depth + 1


class Node:
    """One target that is more than one of many: running, waiting for its children, held, failed, or a follow-on."""

    __slots__ = (
        "attempt", "begun", "blob", "chain", "created", "creator", "depth", "follow", "form", "founder_n", "grown", "id",
        "littered", "losses", "mean", "n", "not_before", "open", "over", "parent", "phase", "pieces", "promises", "ready_at",
        "slot", "source", "stuck", "stuck_flag", "takes", "temp", "tolerant", "tries", "vain", "waits", "worker",
    )  # fmt: skip

    def __init__(
        self, target: int, parent: Node | None, form: Form, source: Source, creator: Attempt, n: int, depth: int
    ) -> None:
        self.id = target
        self.parent = parent  # that of its chain's founder: whose children it is counted among
        self.form = form
        self.source = source
        self.creator = creator  # with n: its identity on the wire
        self.n = n
        self.depth = depth
        self.phase = Phase.READY
        self.chain = target  # the founder's id
        self.founder_n = n
        self.tolerant = form.tolerant  # the founder's; None: not said
        self.temp: str | None = None  # the chain's global temp dir, once somebody has asked for it
        self.mean = 0  # bytes of its payload, about
        self.littered = False  # an attempt that came to nothing may have left one behind
        self.attempt = NOBODY
        self.worker = 0
        self.begun = 0  # attempts of it that have begun and ended
        self.tries = 0  # attempts that count against it
        self.grown = 0  # times that it was given more memory since it was last (re)tried
        self.losses = 0  # workers lost with it since it was last (re)tried
        self.open = 0  # chains of its children that have not ended
        self.stuck = 0  # how many of those can't go on
        self.stuck_flag = False  # its own chain is counted so in its parent
        self.waits = 0  # chains of siblings that must end first
        self.vain = 0  # how many of those are stuck
        self.pieces: list[Piece] | None = None  # provisional creations of the running attempt
        self.created = 0
        self.follow: Node | None = None
        self.promises: dict[int, Watch] | None = None  # by n of what it created
        self.slot: Slot | None = None
        self.takes: list[tuple[tuple[int, int, int], Slot]] | None = None
        self.blob: list[Any] | None = None  # [size, sha256] when the payload lies in TREE/blobs
        self.over: list[tuple[int, int]] | None = None  # attempts never to be adopted: failed, or lost with what they had created
        self.ready_at = 0.0
        self.not_before = 0.0

    def __repr__(self) -> str:
        return f"<{self.form.name}:{self.id} {self.phase.name}>"


def is_in_place(node: Node) -> bool:
    """Whether it is what its chain is at: not a follow-on whose predecessor has not ended."""
    return node.n != FOLLOW_ON or node.chain != node.id


def promised(run: Run) -> Iterator[int]:
    """The n of those targets of a run whose results were promised, or that somebody waits for."""
    promises = run.parent.promises
    if not promises:
        return iter(())
    inside = range(run.first_n, run.first_n + run.count)
    return iter([n for n in inside if n in promises] if run.count <= len(promises) else [n for n in promises if n in inside])


def why_cancelled(node: Node) -> dict[str, Any]:
    """What is said to those who wait for it."""
    return {"name": node.form.name, "id": node.id, "cause": "cancelled", "message": "cancelled"}


def spread(ranges: list[int]) -> list[int]:
    """All the numbers that ``[start, count, start, count, ...]`` names."""
    if len(ranges) == 2 and ranges[1] == 1:
        return [ranges[0]]
    return [n for start, count in zip(ranges[::2], ranges[1::2], strict=True) for n in range(start, start + count)]
