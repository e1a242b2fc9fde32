"""The desk of a session: takes the targets that a client submits, and hands out their results.

A session is a tree whose root runs nothing: what is submitted becomes its children, each allowed to fail, and the client counts
them (their ``n``) as an attempt counts its children, so that a repeated message can be told. A result leaves once, when the end
of its chain is on disk; what of it lies in TREE/blobs stays there until the client says that it has it.
"""

from __future__ import annotations

from typing import Any

from ..errors import Cause
from ..protocol.messages import DATA_LIMIT, VALUE_BLOB, VALUE_FAILURE, Type
from . import records as r
from .core import Core
from .dispatch import values_of, written
from .effects import Fetch, RemoveBlob, Spill
from .events import Submitted
from .nodes import Slot
from .promises import release

#: Targets in one event about begun ones.
MOST_BEGUN = 5_000


class Refused(Exception):
    """What was asked for can't be done; the words say why."""


class Desk:
    """One client at a time: the last one that has opened the session."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._peer: int | None = None
        self._ids: dict[int, int] = {}  # by n: the founders of what was submitted and has not ended
        self._lent: dict[int, Slot] = {}  # by n: results of which something lies in TREE/blobs, until the client has it

    def open(self, peer: int) -> dict[str, Any]:
        """A client begins; it is told how many targets were ever submitted."""
        if not self.core.tree.door:
            return {"error": "this is no session that takes targets; jobtree.Cluster starts one"}
        self._peer = peer
        return {"submitted": self.core.tree.submitted}

    def submitted(self, event: Submitted) -> None:
        """Targets, in pieces whose creator is nobody; what came before is known, and what comes too early is left out."""
        core, tree = self.core, self.core.tree
        if not tree.door or core.ending:
            return
        place = 0
        for sha, length in event.codes:
            if sha not in tree.codes:
                core.emit(r.CodeAdded([length], event.data[place : place + length], sha))
            place += length
        for _, _, first_n, forms, runs, extras, lengths in event.pieces:
            size = sum(lengths)
            content = event.data[place : place + size]
            place += size
            if first_n != tree.submitted + 1:
                continue
            first = tree.next_id
            self._ids.update({first_n + offset: first + offset for offset in range(len(lengths))})
            core.emit(r.TargetsCreated(lengths, content, core.now, 0, 0, first, first_n, forms, runs, extras))

    def drop(self, about: dict[str, Any]) -> dict[str, Any]:
        """Nobody wants these any more, by their ``n``; what runs of them is ended."""
        tree = self.core.tree
        wanted = {self._ids[n] for n in _numbers(about) if n in self._ids}
        there = [target for target in wanted if target in tree.nodes]
        if len(there) < len(wanted):  # chains that have gone on
            there += [node.id for node in tree.nodes.values() if node.chain in wanted and node.id != node.chain]
        for some in r.batched(there, r.MOST_LISTED):
            self.core.emit(r.SubtreesCancelled(self.core.now, list(some)))
        self.core.absorb()
        return {"dropped": len(there)}

    def taken(self, about: dict[str, Any]) -> dict[str, Any]:
        """The client has read these results: what lies in TREE/blobs of them can go."""
        for n in _numbers(about):
            slot = self._lent.pop(n, None)
            if slot is not None:
                self._forget(n, slot)
        return {}

    def _forget(self, n: int, slot: Slot) -> None:
        for blob in release([((0, 0, n), slot)]):
            self.core.do(RemoveBlob(*blob))

    def close(self, about: dict[str, Any]) -> dict[str, Any]:
        """No more targets will come."""
        if self.core.tree.door:
            self.core.emit(r.DoorClosed(self.core.now))
        return {}

    def answer(self) -> None:
        """Send what this turn has brought to an end, and what has begun."""
        core = self.core
        if core.begun:
            if self._peer is not None:
                for some in r.batched(core.begun, MOST_BEGUN):
                    core.send(self._peer, Type.EVENT, ["begun", list(some)])
            core.begun = []
        answers, core.tree.answers = core.tree.answers, []
        letter = _Letter()
        for n, target, slot in answers:
            self._ids.pop(n, None)
            if self._peer is None:
                self._forget(n, slot)
                continue
            self._write(letter, n, target, slot)
            if letter.size > DATA_LIMIT:
                self._post(letter)
                letter = _Letter()
        if letter.results:
            self._post(letter)

    def _write(self, letter: _Letter, n: int, target: int, slot: Slot) -> None:
        values, size = written(values_of([((0, 0, n), slot)]), letter.fetches, letter.spills)
        letter.size += size
        exception: Any = None
        if slot.kind == VALUE_FAILURE and slot.argument["cause"] != Cause.CANCELLED:
            exception = self.core.exceptions.pop(slot.argument["id"], None)
            if isinstance(exception, Fetch):
                letter.fetches.append(exception)
                exception = True
        letter.results.append([n, target, values, exception])
        if slot.spilled or slot.embeds or slot.kind == VALUE_BLOB:
            self._lent[n] = slot

    def _post(self, letter: _Letter) -> None:
        if self._peer is not None:
            body: list[Any] = (
                [letter.results] if letter.fetches else [letter.results, []]
            )  # else the journal fills in the lengths
            self.core.send(self._peer, Type.RESULT, body, letter.fetches, letter.spills)


class _Letter:
    """A RESULT message that is being written."""

    def __init__(self) -> None:
        self.results: list[list[Any]] = []
        self.fetches: list[Fetch] = []
        self.spills: list[Spill] = []
        self.size = 0


def _numbers(about: dict[str, Any]) -> list[int]:
    numbers = about.get("ns")
    if not isinstance(numbers, list) or not all(type(n) is int for n in numbers):
        raise Refused("which targets? give the numbers under which they were submitted")
    return numbers
