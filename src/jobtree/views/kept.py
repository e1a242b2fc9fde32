"""What a history keeps beside the tree of targets: figures of attempts, workers, blocks and epochs."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from ..master import records as r


class Taken:
    """What the attempts of one name took: columns with an entry for each that ended well, and counts of the others."""

    __slots__ = ("asked_memory", "cpu", "failed", "lost", "memory", "paid", "retries", "time", "wait", "wasted")

    def __init__(self) -> None:
        self.time = array("d")
        self.cpu = array("d")
        self.wait = array("d")
        self.memory = array("q")
        self.retries = self.failed = self.lost = 0
        self.wasted = 0.0
        self.paid = 0.0  # cpu-seconds that those which ended well had for themselves
        self.asked_memory = 0  # the most that one of them has asked for (bytes)


@dataclass(slots=True)
class WorkerHistory:
    """One worker that has ever joined. ``busy`` and ``cpu`` are the seconds of its targets, ``memory`` their highest peak.

    ``paid`` are the seconds of its targets times the cpus that they had for themselves.
    """

    joined: r.WorkerJoined
    left_at: float | None = None
    reason: str = ""
    targets: int = 0
    busy: float = 0.0
    paid: float = 0.0
    cpu: float = 0.0
    memory: int = 0


@dataclass(slots=True)
class BlockHistory:
    """One submission that was ever planned."""

    planned: r.BlockPlanned
    ids: list[str] = field(default_factory=list)
    known: bool = False
    gone: dict[str, str] = field(default_factory=dict)  # id -> why
    refused: str | None = None  # why the whole of it never came to be
    note: str = ""  # what the batch system says of those that are not as they should be

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return self.refused is not None or (self.known and len(self.gone) >= len(self.ids))


@dataclass(slots=True)
class EpochHistory:
    """One master's life; ``ended`` is None as long as it goes on, or where it was cut short."""

    began: r.EpochBegan
    ended: r.RunEnded | None = None
    last_at: float = 0.0  # of what is known to have happened in it
