"""What can happen to the master: everything its state ever learns of the world, beside the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..protocol.messages import Type


@dataclass(slots=True)
class Hello:
    """A peer with a worker's key wants a session; ``epoch`` is the one it last heard of, ``session`` counts its own HELLOs."""

    peer: int
    epoch: int
    session: int
    about: dict[str, Any]


@dataclass(slots=True)
class Received:
    """A message on an open session; ``number`` is its place in the session."""

    peer: int
    type: Type
    number: int
    body: list[Any]
    data: bytes = b""


@dataclass(slots=True)
class Asked:
    """A client asks for something; the answer names ``number``."""

    peer: int
    number: int
    verb: str
    about: dict[str, Any]


@dataclass(slots=True)
class Submitted:
    """A client brings targets for a session, as a worker brings children."""

    peer: int
    codes: list[list[Any]]
    pieces: list[list[Any]]
    data: bytes


@dataclass(slots=True)
class PeerLost:
    """A session is over: a gap, a full or closed connection."""

    peer: int
    reason: str


@dataclass(slots=True)
class BlockSubmitted:
    """A launcher took a submission; ``ids`` are its words for the workers."""

    name: str
    ids: list[str]


@dataclass(slots=True)
class SubmitFailed:
    """A launcher refused a submission; ``verdict`` is "refused" (for good), "busy" (try later) or "" (who knows)."""

    name: str
    reason: str
    verdict: str = ""


@dataclass(slots=True)
class BlockGone:
    """One worker's process or job is known to have ended; ``tail`` are the last lines of its own output."""

    name: str
    id: str
    reason: str
    tail: str = ""


@dataclass(slots=True)
class BlockSeen:
    """How a submission stands with the batch system now, when that has changed: the worst state of ``count`` of its workers."""

    name: str
    state: str
    count: int
    reason: str


@dataclass(slots=True)
class BlocksCancelled:
    """The launcher has done what it can to end these; ``trouble`` says what went wrong."""

    ids: list[str]
    trouble: str = ""


@dataclass(slots=True)
class Signalled:
    """The user or the system asks the master to end: level 1 drain, 2 stop now, 3 kill; ``status`` is the exit status due."""

    level: int
    status: int


@dataclass(slots=True)
class Stalled:
    """The loop itself has stood still for so many seconds: silence in that time proves nothing about anybody."""

    seconds: float


@dataclass(slots=True)
class Paused:
    """The journal can't be written for now (reason), or can again (None)."""

    reason: str | None = field(default=None)


@dataclass(slots=True)
class Compacted:
    """There is a snapshot of the frames from ``first`` to before ``last``, and of all before them; files may go for it.

    ``record`` is the number of the next record, ``index_offset`` says where the snapshot's index stands (0: it is known already).
    """

    name: str
    bytes: int
    sha: str
    first: int
    last: int
    record: int
    index_offset: int
    remove: list[str] = field(default_factory=list)


Event = (
    Hello | Received | Asked | Submitted | PeerLost | BlockSubmitted | SubmitFailed | BlockGone | BlockSeen | BlocksCancelled
    | Signalled | Stalled | Paused | Compacted
)  # fmt: skip
