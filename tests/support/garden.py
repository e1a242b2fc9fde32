"""Short words for tests that grow a tree of targets record by record."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.audit import audit, dump
from jobtree.master.ledger import Ledger
from jobtree.master.nodes import Node, Phase
from jobtree.master.tree import Tree
from jobtree.protocol.messages import FLAG_FOLLOW_ON, FLAG_TEMP

PLAIN: list[Any] = ["t", None, {}]
TOLERANT: list[Any] = ["t", True, {}]


class Garden:
    """A tree, its records, and the verbs of its life; after each one the tree is audited."""

    def __init__(self, *, keep_going: bool = False, root: list[Any] | None = None) -> None:
        self.tree = Tree()
        self.records: list[r.Record] = []
        self.now = 0.0
        self.apply(r.RunDescribed(0.0, {}))
        self.apply(r.EpochBegan(0.0, 1, "host", 1, {"keep_going": keep_going}))
        self.apply(r.TargetsCreated([1], b"r", 0.0, 0, 0, 1, 1, [root or PLAIN], [0, 1], {}))

    def apply(self, record: r.Record) -> None:
        """One record."""
        self.tree.apply(record)
        self.records.append(record)
        if len(self.tree.nodes) < 50:
            assert audit(self.tree) == ""

    def replayed(self) -> Tree:
        """The tree that a restarted master would have: the same records, without their payloads."""
        tree = Tree()
        for record in self.records:
            tree.apply(r.decode(r.encode(record)[0]))
        return tree

    def same_when_replayed(self) -> bool:
        """Whether it is the same tree."""
        return dump(self.tree, Ledger()) == dump(self.replayed(), Ledger())

    def assign(self, target: int, count: int = 1, worker: int = 1) -> Attempt:
        """Give targets to a worker; the first attempt."""
        number = self.tree.next_number
        self.apply(r.AttemptsAssigned(self.now, worker, number, [target, count]))
        return Attempt(self.tree.epoch, number)

    def create(
        self,
        attempt: Attempt,
        count: int = 1,
        form: list[Any] | None = None,
        *,
        first_n: int | None = None,
        extras: dict[int, list[Any]] | None = None,
    ) -> list[int]:
        """Children of a running attempt; their ids."""  # fmt: skip
        node = self.tree.current[attempt]
        if first_n is None:
            first_n = 1 + sum(piece.size for piece in node.pieces or () if piece.first_n)
        first = self.tree.next_id
        self.apply(
            r.TargetsCreated(
                [3] * count, b"abc" * count, self.now, *attempt, first, first_n, [form or PLAIN], [0, count], extras or {}
            )
        )
        return list(range(first, first + count))

    def follow(self, attempt: Attempt, takes: list[int] | None = None) -> int:
        """The follow-on of a running attempt; its id."""
        extras = {0: [takes, [], None]} if takes else {}
        return self.create(attempt, first_n=0, extras=extras)[0]

    def row(
        self, attempt: Attempt, cause: str = "", result: Any = None, embeds: list[int] | None = None, temp: bool = False
    ) -> list[Any]:
        """The end of an attempt."""
        node = self.tree.current[attempt]
        follow = any(piece.first_n == 0 for piece in node.pieces or ())
        flags = (FLAG_FOLLOW_ON if follow else 0) | (FLAG_TEMP if temp else 0)
        failure = {"message": "it failed"} if cause else None
        return [*attempt, cause, node.created - follow, flags, result, embeds, 0.0, 1.0, 0.0, 0.0, 0, None, failure]

    def commit(self, attempt: Attempt, result: Any = None, embeds: list[int] | None = None, temp: bool = False) -> None:
        """The attempt has ended well."""
        data = b"v" if result is True else b""
        self.apply(r.AttemptsCommitted([len(data)], data, self.now, 1, [self.row(attempt, "", result, embeds, temp)]))

    def fail(self, attempt: Attempt, retry_at: float | None = None) -> None:
        """The attempt has ended badly; its target is tried again at ``retry_at``, or never."""
        self.apply(r.AttemptsFailed([0], b"", self.now, 1, [self.row(attempt, "exception")], [retry_at]))

    def run(
        self, target: int, children: int = 0, *, follow: bool = False, form: list[Any] | None = None, **end: Any
    ) -> list[int]:
        """All of a target's life up to its commit; the ids of what it created, the follow-on's first."""
        attempt = self.assign(target)
        made = [self.follow(attempt)] if follow else []
        made += self.create(attempt, children, form) if children else []
        self.commit(attempt, **end)
        return made

    def break_down(self, target: int) -> None:
        """A target fails for good."""
        self.fail(self.assign(target))

    def phase(self, target: int) -> Phase:
        """Where a target stands; DONE for one that is not in memory any more."""
        node = self.tree.nodes.get(target)
        if node is not None:
            return node.phase
        run = self.tree.runs.find(target)
        return run.phase if run is not None else Phase.DONE

    def node(self, target: int) -> Node:
        """A target that is more than one of many."""
        return self.tree.nodes[target]

    def count(self, phase: Phase) -> int:
        """How many targets stand there."""
        return self.tree.counts()[phase]
