"""A master's state for tests: workers that say what the test wants, and steps that can be looked at."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.audit import audit
from jobtree.master.core import Settings
from jobtree.master.effects import Step
from jobtree.master.ledger import Ledger
from jobtree.master.state import MasterState
from jobtree.master.tree import Tree
from jobtree.protocol.messages import FLAG_FOLLOW_ON, Type

ROOT = 1


class Office:
    """One master, epoch by epoch; ``step`` is the last turn."""

    def __init__(
        self,
        *,
        workers: int = 1,
        root: list[Any] | None = None,
        records: list[r.Record] | None = None,
        about: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(run="run", version="1", python="3.11", workers=workers, default_memory=1 << 30, **settings)
        self.now = 100.0
        self.records: list[r.Record] = []
        self._numbers: dict[int, int] = {}
        self._sessions = 0
        tree, ledger = Tree(), Ledger()
        for record in records or []:
            bare = r.decode(r.encode(record)[0])
            tree.apply(bare)
            ledger.apply(bare)
            self.records.append(record)
        self.state = MasterState(tree, ledger, self.settings, self.now)
        opening: list[r.Record] = [] if records else [r.RunDescribed(self.now, about or {})]
        opening.append(r.EpochBegan(self.now, tree.epoch + 1, "host", 1, {}))
        if not records:
            opening.append(r.TargetsCreated([1], b"r", self.now, 0, 0, 1, 1, [root or ["t", None, {}]], [0, 1], {}))
        self.step = self._done(self.state.begin(opening, self.now))

    def restarted(self) -> Office:
        """The next master, after a crash of this one."""
        return Office(workers=self.settings.workers, records=list(self.records), adopt_grace=self.settings.adopt_grace)

    @property
    def tree(self) -> Tree:
        return self.state.core.tree

    def turn(self, *events: happened.Event, after: float = 0.0) -> Step:
        """One turn, ``after`` seconds later."""
        self.now += after
        self.step = self._done(self.state.step(list(events), self.now))
        return self.step

    def _done(self, step: Step) -> Step:
        self.records += step.records
        assert audit(self.tree) == ""
        return step

    # -- what workers say -----------------------------------------------------------------------------------------

    def hello(self, peer: int, uid: str = "", held: list[list[int]] | None = None, **about: Any) -> Step:
        """A worker wants a session."""
        return self.turn(self.greeting(peer, uid, held, **about))

    def greeting(
        self, peer: int, uid: str = "", held: list[list[int]] | None = None, session: int = 0, **about: Any
    ) -> happened.Hello:
        """A HELLO, not yet taken in."""
        self._numbers[peer] = 0
        known = {
            "version": "1", "python": "3.11", "run": "run", "uid": uid or f"u{peer}", "block": "", "index": 0, "host": "h",
            "pid": 1, "cpus": 1.0, "memory": 8 << 30, "gpus": 0.0, "left": 0.0, "seen": [0, 0], "held": held or [],
        }  # fmt: skip
        self._sessions += 1
        return happened.Hello(peer, 0, session or self._sessions, known | about)

    def said(self, peer: int, kind: Type, body: list[Any], data: bytes = b"") -> happened.Received:
        """A message of a worker, not yet taken in."""
        self._numbers[peer] += 1
        return happened.Received(peer, kind, self._numbers[peer], body, data)

    def hear(self, peer: int, kind: Type, body: list[Any], data: bytes = b"", after: float = 0.0) -> Step:
        """A message of a worker."""
        return self.turn(self.said(peer, kind, body, data), after=after)

    def row(self, attempt: tuple[int, int], cause: str = "", created: int = 0, follow: bool = False, **more: Any) -> list[Any]:
        """The end of an attempt."""
        failure = {"message": "it failed"} if cause else None
        flags = FLAG_FOLLOW_ON if follow else 0
        return [*attempt, cause, created, flags, more.get("result"), None, 0.0, more.get("wall", 1.0), 0.0, 0.0, 0, None, failure]

    def done(
        self, peer: int, attempt: tuple[int, int], cause: str = "", created: int = 0, follow: bool = False, **more: Any
    ) -> Step:
        """An attempt has ended."""
        return self.hear(peer, Type.DONE, [[self.row(attempt, cause, created, follow, **more)], [0]])

    def create(
        self, peer: int, attempt: tuple[int, int], count: int = 1, first_n: int = 1, form: list[Any] | None = None, **extras: Any
    ) -> Step:
        """An attempt has created targets."""
        piece = [*attempt, first_n, [form or ["t", None, {}]], [0, count], extras.get("extras", {}), [1] * count]
        return self.hear(peer, Type.CHILDREN, [[], [piece]], b"x" * count)

    # -- what the master does ---------------------------------------------------------------------------------------

    def sent(self, kind: Type, peer: int | None = None) -> list[list[Any]]:
        """The bodies of the messages of a type in the last turn."""
        return [
            effect.body for effect in [*self.step.at_once, *self.step.effects]
            if isinstance(effect, want.Send) and effect.type is kind and peer in (None, effect.peer)
        ]  # fmt: skip

    def given(self, peer: int) -> list[tuple[Attempt, int]]:
        """Attempts and targets of the RUN messages to a worker in the last turn."""
        return [
            (Attempt(self.tree.epoch, number + at), target + at)
            for _, groups in self.sent(Type.RUN, peer)
            for number, target, count, *_ in groups
            for at in range(count)
        ]

    def did(self, kind: type) -> list[Any]:
        """The effects of a type in the last turn."""
        return [effect for effect in [*self.step.at_once, *self.step.effects] if isinstance(effect, kind)]

    def wrote(self, kind: type) -> list[Any]:
        """The records of a type in the last turn."""
        return [record for record in self.step.records if isinstance(record, kind)]
