"""The attempts that a worker holds, and what of theirs the master has not yet acknowledged as being on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..ids import Attempt
from ..protocol.messages import HELD_ENDED, HELD_RUNNING, HELD_WAITING
from .effects import Task

#: Bytes of an attempt's creations that may wait for the master's acknowledgement; then ``add_child`` waits.
UNACKNOWLEDGED = 16 << 20


@dataclass(slots=True)
class PieceKept:
    """A piece of creations on its way to the master's disk."""

    piece: list[Any]
    codes: list[str]
    data: bytes
    size: int  # targets

    @property
    def bytes(self) -> int:
        """What it takes of memory, about."""
        return len(self.data) + 200


@dataclass(slots=True)
class Held:
    """One attempt: its task until it has ended, then its row; and its pieces that are not acknowledged."""

    attempt: Attempt
    target: int
    task: Task | None
    runner: int | None = None
    begun: float | None = None
    cancelled: bool = False
    recalled: bool = False
    pieces: deque[PieceKept] = field(default_factory=deque)
    backlog: int = 0  # bytes of those pieces
    throttled: bool = False  # its runner is not heard until the master has caught up
    created: int = 0  # all that it has created so far, the follow-on counted
    delivered: int = 0  # how many of those are known to be on the master's disk
    row: list[Any] | None = None
    data: bytes = b""

    @property
    def state(self) -> int:
        """What HELLO says of it."""
        if self.row is not None:
            return HELD_ENDED
        return HELD_RUNNING if self.begun is not None or self.pieces or self.created else HELD_WAITING


class Holdings:
    """All attempts held, and the messages that wait for their acknowledgement."""

    def __init__(self) -> None:
        self.held: dict[Attempt, Held] = {}
        self._sent: deque[tuple[int, list[Held], list[tuple[Held, int]]]] = deque()

    def __iter__(self) -> Iterator[Held]:
        return iter(self.held.values())

    def __len__(self) -> int:
        return len(self.held)

    def get(self, attempt: Attempt) -> Held | None:
        """The attempt, if it is held."""
        return self.held.get(attempt)

    def add(self, task: Task) -> Held:
        """Take in an attempt that is to be run."""
        held = self.held[task.attempt] = Held(task.attempt, task.target, task)
        return held

    def drop(self, attempt: Attempt) -> Held | None:
        """Forget an attempt."""
        return self.held.pop(attempt, None)

    def sent(self, number: int, ended: list[Held], pieces: list[tuple[Held, int]]) -> None:
        """Message ``number`` carried the ends of some attempts and, of others, pieces with so many targets."""
        self._sent.append((number, ended, pieces))

    def acknowledged(self, number: int) -> list[Held]:
        """All messages up to ``number`` are on the master's disk: what they carried need not be kept.

        Returns the throttled attempts that have room again.
        """
        relieved: dict[Attempt, Held] = {}
        while self._sent and self._sent[0][0] <= number:
            _, ended, pieces = self._sent.popleft()
            for held, size in pieces:
                held.delivered += size
                _forget_delivered(held)
                if held.throttled and held.backlog <= UNACKNOWLEDGED // 2:
                    relieved[held.attempt] = held
            for held in ended:
                if self.held.get(held.attempt) is held:
                    del self.held[held.attempt]
        return list(relieved.values())

    def session_over(self) -> None:
        """Nothing that was sent will be acknowledged any more; the next WELCOME says what has arrived."""
        self._sent.clear()

    def adopted(self, held: Held, on_disk: int) -> None:
        """The master has the first ``on_disk`` creations of an attempt on disk."""
        held.delivered = on_disk
        _forget_delivered(held)

    def listing(self) -> list[list[int]]:
        """What HELLO says of all attempts."""
        return [[*held.attempt, held.target, held.created, held.state] for held in self.held.values() if not held.cancelled]


def _forget_delivered(held: Held) -> None:
    """Pieces are delivered in order and whole."""
    kept = held.created - sum(piece.size for piece in held.pieces)
    while held.pieces and kept + held.pieces[0].size <= held.delivered:
        piece = held.pieces.popleft()
        kept += piece.size
        held.backlog -= piece.bytes
