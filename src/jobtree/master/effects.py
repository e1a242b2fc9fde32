"""What the master's state can ask for: each effect is granted by one door, after the journal has let it pass.

Payloads are named, not carried: ``Fetch`` says which bytes of the journal belong into a message, and the journal fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..protocol.messages import Type


class Fetch(NamedTuple):
    """``amount`` payloads of a record, from ``place`` on."""

    record: int
    place: int
    amount: int


class Spill(NamedTuple):
    """An inline value that goes by way of TREE/blobs: where it lies, whose result it is, the ``value`` of a RUN to fill in."""

    fetch: Fetch
    epoch: int
    number: int
    value: list[Any]


@dataclass(slots=True)
class Send:
    """A message to a peer; the bytes named by ``fetches`` make its data frame, in order. ``spills`` are written before."""

    peer: int
    type: Type
    body: list[Any]
    fetches: list[Fetch] = field(default_factory=list)
    spills: list[Spill] = field(default_factory=list)
    data: bytes = b""


@dataclass(slots=True)
class EndSession:
    """Forget a peer; it will be told that it has no session."""

    peer: int


@dataclass(slots=True)
class Submit:
    """Ask a pool's launcher for ``n`` workers under a name; of this size, where the pool does not say."""

    name: str
    n: int
    pool: str = ""
    cpus: float = 0.0
    memory: int = 0
    gpus: float = 0.0


@dataclass(slots=True)
class Find:
    """Ask the launcher whether a planned submission, of which nothing more is known, was made; answered as a submission is."""

    name: str
    pool: str = ""


@dataclass(slots=True)
class CancelBlocks:
    """End workers by the launcher's own means; with ``force`` at once."""

    ids: list[str]
    force: bool = False
    pool: str = ""


@dataclass(slots=True)
class Output:
    """Output of a target for the log store: its id, the attempt's ordinal, and a chunk as LOG carries it."""

    target: int
    name: str
    ordinal: int
    epoch: int
    number: int
    stream: int
    offset: int
    at: float
    data: bytes


@dataclass(slots=True)
class RemoveTemp:
    """A chain has ended: remove its global temp dirs."""

    chain: int


@dataclass(slots=True)
class RemoveBlob:
    """A payload in TREE/blobs is not needed any more; the attempt that wrote it, and its name there (n, or "r")."""

    epoch: int
    number: int
    name: str


@dataclass(slots=True)
class Prune:
    """A snapshot stands for all records below ``record``: take their payloads from it, and remove files of the journal."""

    name: str
    record: int
    index_offset: int  # where the snapshot's index stands; 0: it is known already
    remove: list[str]


@dataclass(slots=True)
class Tell:
    """Words for the console and the log of the master, with a logging level name."""

    level: str
    text: str


@dataclass(slots=True)
class TellFailure:
    """An attempt has failed, for displays that want to hear of each: what its row says, and how many tries are left."""

    name: str
    id: int
    failure: dict[str, Any]
    tries_left: int


Effect = Send | EndSession | Submit | Find | CancelBlocks | Output | RemoveTemp | RemoveBlob | Prune | Tell | TellFailure


@dataclass(slots=True)
class Step:
    """What one turn decided: the records, the effects that wait for them, and those whose cause is durable already."""

    records: list[Any] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    at_once: list[Effect] = field(default_factory=list)  # they tell of nothing that would have to be on disk
    lazy: bool = True  # no record of this step needs a sync before the effects may leave
