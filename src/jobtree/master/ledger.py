"""The blocks that were asked for and the workers that came, as the journal remembers them."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import records as r


@dataclass(slots=True)
class Block:
    """One submission: ``ids`` are the launcher's words for its workers, by their index; ``alive`` those that have not ended."""

    name: str
    n: int
    ids: list[str] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    came: set[int] = field(default_factory=set)  # the indices of workers that have said HELLO
    known: bool = False  # the launcher has answered
    ended: bool = False
    note: tuple[str, int, str] | None = None  # how the batch system says it stands: state, of how many, why
    planned_at: float = 0.0
    pool: str = ""
    cpus: float = 0.0  # of each worker, where its pool does not say
    memory: int = 0
    gpus: float = 0.0

    @property
    def expected(self) -> int:
        """Its workers that are there, or have been asked for."""
        return len(self.alive) if self.known else self.n

    def ident_of(self, index: int) -> str:
        """The launcher's word for a worker that has not ended; empty if there is none."""
        ident = self.ids[index] if index < len(self.ids) else ""
        return ident if ident in self.alive else ""

    @property
    def missing(self) -> list[str]:
        """Those that have not ended, and of which no worker has come."""
        return [ident for index, ident in enumerate(self.ids) if ident in self.alive and index not in self.came]


class Ledger:
    """What was planned, submitted, joined and left, over all epochs."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self.planned = 0  # blocks ever planned: the next one's number
        self.joined: dict[int, r.WorkerJoined] = {}  # workers that have not left
        self.last_worker = 0

    def apply(self, record: r.Record) -> None:
        """Take in a record; most are none of this room's business."""
        match record:
            case r.BlockPlanned():
                self.planned += 1
                self.blocks[record.name] = Block(
                    record.name, record.n, planned_at=record.at, pool=record.pool,
                    cpus=record.cpus, memory=record.memory, gpus=record.gpus,
                )  # fmt: skip
            case r.BlockKnown():
                block = self.blocks[record.name]
                block.ids, block.alive, block.known = list(record.ids), set(record.ids), True
            case r.BlockEnded():
                self._end(record)
            case r.BlockNoted():
                if record.name in self.blocks:
                    self.blocks[record.name].note = (record.state, record.count, record.reason)
            case r.WorkerJoined():
                self.joined[record.worker] = record
                if record.block in self.blocks:
                    self.blocks[record.block].came.add(record.index)
                self.last_worker = max(self.last_worker, record.worker)
            case r.WorkerLeft():
                self.joined.pop(record.worker, None)

    def _end(self, record: r.BlockEnded) -> None:
        block = self.blocks.get(record.name)
        if block is None:
            return
        block.alive.discard(record.id)
        if not record.id or (block.known and not block.alive):
            block.ended = True
            del self.blocks[record.name]

    @property
    def expected(self) -> int:
        """Workers that are there or have been asked for."""
        return sum(block.expected for block in self.blocks.values())
