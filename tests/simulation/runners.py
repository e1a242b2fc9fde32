"""The worker's processes: runners that do what a recipe says, and report it through a pipe of their own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobtree.ids import Attempt
from jobtree.protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_TEMP,
    VALUE_BLOB,
    VALUE_CANCELLED,
    VALUE_FAILURE,
    VALUE_NONE,
)
from jobtree.worker import effects as do
from jobtree.worker import events as e

from .recipe import ALWAYS, BROKEN, Child, Key, Plan, Spec, resolve, returned, unpack

if TYPE_CHECKING:
    from .cluster import Cluster, SimWorker

#: What has lasted this long (seconds) is said to have begun.
ANNOUNCED_AFTER = 0.05


def code_of(sha: str) -> bytes:
    """The bytes of a code blob."""
    return f"def f(): {sha}".encode()


@dataclass(eq=False)
class SimRunner:
    """One runner: reads its tasks one at a time."""

    cluster: Cluster
    worker: SimWorker
    number: int
    epoch: int
    unread: deque[do.Task] = field(default_factory=deque)
    task: do.Task | None = None
    started: bool = False
    dead: bool = False
    retired: bool = False
    doomed: tuple[Attempt | None, str, str] | None = None
    codes: set[str] = field(default_factory=set)
    wanted: str | None = None
    isolated: bool = False
    announced: bool = False
    created: int = 0
    flags: int = 0
    since: float = 0.0
    _pipe_at: float = 0.0
    _turn: int = 0  # counts tasks; what was planned for an earlier one does not happen
    given: list[Attempt] = field(default_factory=list)  # whose end the supervisor has not heard of

    def start(self) -> None:
        """The fork has succeeded."""
        if self.dead:
            return
        self.started = True
        self.tell(e.RunnerStarted(self.number, 1000 + self.number))
        if self.doomed is not None:
            self.cluster.at(self.cluster.now, self.die)
        self.read()

    def tell(self, event: e.Event) -> None:
        """Report; the pipe keeps the order."""
        self._pipe_at = max(self._pipe_at, self.cluster.now + 0.0005 * self.cluster.rng.random())
        self.cluster.at(self._pipe_at, self._arrive, event)

    def _arrive(self, event: e.Event) -> None:
        if isinstance(event, e.Ended):
            self.given.remove(Attempt(event.row[0], event.row[1]))
        self.worker.hear(event)

    def give(self, tasks: list[do.Task]) -> None:
        """Take tasks into the queue."""
        assert not self.retired, "a runner that was let go was given tasks"
        self.unread.extend(tasks)
        self.given += [task.attempt for task in tasks]
        if self.started:
            self.cluster.at(self.cluster.now + 0.0002, self.read)

    def read(self) -> None:
        """Begin the next task."""
        if self.dead or self.task is not None or not self.unread or not self.started:
            return
        task = self.task = self.unread.popleft()
        self.cluster.checks.require(not self.isolated, "a runner that a target wanted for itself was given another one")
        self.isolated = task.form[5]
        self._turn += 1
        self.announced, self.created, self.flags = False, 0, 0
        self.since = self.cluster.now
        loaded = self._load()
        if loaded is None:
            return
        spec, _ = loaded
        if spec.code is not None and spec.code not in self.codes:
            self.wanted = spec.code
            self.tell(e.CodeNeeded(self.number, spec.code))
            return
        self._begin(*loaded)

    def _load(self) -> tuple[Spec, list[Key]] | None:
        """What the payload says; None if it is gone, which is the end of the attempt."""
        task = self.task
        assert task is not None
        data = task.payload
        if task.blob is not None:
            name = tuple(map(str, task.blob[2:]))
            if name not in self.cluster.blobs:
                self.cluster.checks.missing_blob(task, name)
                self._end("exception", {"message": "its payload is gone"})
                return None
            data = self.cluster.blobs[name]
        return unpack(data)

    def answer(self, sha: str, data: bytes) -> None:
        """A code blob has come."""
        self.cluster.checks.require(data == code_of(sha), f"code blob {sha} has other bytes")
        self.codes.add(sha)
        if self.task is not None and self.wanted == sha and not self.dead:
            self.wanted = None
            loaded = self._load()
            if loaded is not None:
                self._begin(*loaded)

    def take_back(self) -> None:
        """All that was not read, at once."""
        attempts = [task.attempt for task in self.unread]
        self.unread.clear()
        for attempt in attempts:
            self.given.remove(attempt)
        self.worker.hear(e.TakenBack(self.number, attempts))

    # -- one attempt ----------------------------------------------------------------------------------------------

    def _begin(self, spec: Spec, takes: list[Key]) -> None:
        task = self.task
        assert task is not None
        plan = self.cluster.recipes.plan(spec)
        values: dict[Key, list[Any]] = {tuple(value[:3]): value[3:] for value in task.values}
        taken = [self._value(key, values) for key in takes]
        self.cluster.checks.begins(self, task, spec, taken)
        at = self.since = self.cluster.now
        fails = task.ordinal <= plan.stumbles
        seconds = plan.seconds
        if fails and plan.stumbles != ALWAYS:
            seconds *= 0.5
        rng = self.cluster.rng
        if seconds > ANNOUNCED_AFTER:
            self._later(at + ANNOUNCED_AFTER, self._announce)
        if plan.temp:
            self._later(at + seconds * 0.3, self._use_temp)
        pieces = self._pieces(plan)
        if fails:
            pieces = pieces[: rng.randint(0, len(pieces))]
        for index, piece in enumerate(pieces):
            self._later(at + seconds * min(0.9, (index + 1) / (len(pieces) + 1)), self._create, piece)
        if rng.random() < 0.1:
            self._later(at + seconds * 0.5, self._print)
        if fails and plan.cause == "signal":
            self._later(at + seconds, self._drop_dead)
        elif fails:
            self._later(at + seconds, self._end, plan.cause, {"message": f"{spec.path} fails"})
        else:
            self._later(at + seconds, self._finish, spec, plan, taken)

    def _later(self, at: float, action: Any, *arguments: Any) -> None:
        turn = self._turn

        def unless_over() -> None:
            if not self.dead and self._turn == turn and self.task is not None:
                action(*arguments)

        self.cluster.at(at, unless_over)

    def _announce(self) -> None:
        assert self.task is not None
        self.announced = True
        self.tell(e.Begun(self.number, self.task.attempt, self.worker.clock()))

    def _print(self) -> None:
        assert self.task is not None
        self.tell(e.Printed(self.task.attempt, 1, 0, b"hello\n", self.worker.clock()))

    def _use_temp(self) -> None:
        assert self.task is not None
        self.flags |= FLAG_TEMP
        self.cluster.temps.add(self.task.temp)
        if not self.cluster.is_current(self.task.attempt):
            self.cluster.stale_temps.add(self.task.temp)

    def _pieces(self, plan: Plan) -> list[list[Child]]:
        """What is created, cut into pieces as chance has it."""
        rng = self.cluster.rng
        pieces: list[list[Child]] = []
        children = plan.children
        while children:
            size = rng.randint(1, len(children))
            pieces.append(children[:size])
            children = children[size:]
        if plan.follow is not None:
            # It may be set before the children that come later, unless it takes their promises.
            first = 0 if not plan.follow.takes else len(pieces)
            pieces.insert(rng.randint(first, len(pieces)), [plan.follow])
        return pieces

    def _create(self, children: list[Child]) -> None:
        assert self.task is not None
        attempt = self.task.attempt
        forms: list[list[Any]] = []
        runs: list[int] = []
        extras: dict[int, list[Any]] = {}
        lengths: list[int] = []
        codes: list[str] = []
        parts: list[bytes] = []
        for index, child in enumerate(children):
            data = child.spec.pack([(*attempt, n) for n in child.takes])
            if child.spec.code is not None and child.spec.code not in codes:
                codes.append(child.spec.code)
            blob = None
            if child.blob:
                self.cluster.blobs[str(attempt.epoch), str(attempt.number), str(child.n)] = data
                blob, data = [len(data), "sha"], b""
            if child.takes or child.after or blob:
                extras[index] = [_ranges(child.takes), _ranges(child.after), blob]
            if child.form not in forms:
                forms.append(child.form)
            form = forms.index(child.form)
            if runs and runs[-2] == form:
                runs[-1] += 1
            else:
                runs += [form, 1]
            lengths.append(len(data))
            parts.append(data)
        for sha in codes:
            if sha not in self.codes or self.cluster.rng.random() < 0.2:
                self.codes.add(sha)
                self.tell(e.CodeFound(self.number, sha, code_of(sha)))
        if children[0].n == 0:
            self.flags |= FLAG_FOLLOW_ON
        else:
            self.created += len(children)
        piece = [*attempt, children[0].n, forms, runs, extras, lengths]
        self.tell(e.Created(self.number, piece, codes, b"".join(parts)))

    def _finish(self, spec: Spec, plan: Plan, taken: list[Any]) -> None:
        assert self.task is not None
        attempt = self.task.attempt
        result: Any = None
        embeds = None
        data = b""
        if plan.result == "alias":
            result = [plan.names[0]]
        elif plan.result in ("value", "embeds"):
            result, data = True, returned(spec, plan, taken, attempt)
            embeds = _ranges(plan.names) or None
            if plan.blob:
                self.cluster.blobs[str(attempt.epoch), str(attempt.number), "r"] = data
                result, data = [len(data), "sha"], b""
        if self.flags & FLAG_TEMP:
            self.cluster.checks.temp_is_there(self.task)
        self._end("", None, result, embeds, data, [[*attempt, n] for n in plan.cancels])

    def _end(
        self,
        cause: str,
        failure: dict[str, Any] | None,
        result: Any = None,
        embeds: list[int] | None = None,
        data: bytes = b"",
        cancels: list[list[int]] | None = None,
    ) -> None:
        assert self.task is not None
        if cause:
            result, data = True, b"exception"
        row = self._row(cause, failure, result, embeds)
        row += [cancels] if cancels else []
        self.task = None
        self.tell(e.Ended(self.number, row, data))
        if self.cluster.rng.random() < 0.5:
            self.read()
        else:
            self.cluster.at(self.cluster.now + 0.0003, self.read)

    def _row(self, cause: str, failure: dict[str, Any] | None, result: Any, embeds: Any) -> list[Any]:
        assert self.task is not None
        wall = self.cluster.now - self.since
        return [
            *self.task.attempt, cause, self.created, self.flags, result, embeds, self.since, wall, 0.0, 0.0, 1 << 20,
            None, failure,
        ]  # fmt: skip

    def _value(self, key: Key, values: dict[Key, list[Any]]) -> Any:
        """A kept promise, with all that is in it."""
        assert self.task is not None
        self.cluster.checks.require(key in values, f"the value of {key} was not sent with its taker")
        kind, argument, data = values[key]
        if kind in (VALUE_FAILURE, VALUE_CANCELLED):
            return BROKEN
        if kind == VALUE_NONE:
            return None
        if kind == VALUE_BLOB:
            name = (str(argument[2]), str(argument[3]), "r")
            if name not in self.cluster.blobs:
                self.cluster.checks.missing_blob(self.task, name)
                return BROKEN
            data = self.cluster.blobs[name]
        return resolve(data, lambda embedded: self._value(embedded, values))

    # -- the end --------------------------------------------------------------------------------------------------

    def kill(self, cause: str, message: str, grace: float) -> None:
        """As the supervisor orders; it takes its time."""
        if self.doomed is None:
            self.doomed = (next(iter(self.given), None), cause, message)
            if self.started:
                self.cluster.at(self.cluster.now + self.cluster.rng.random() * min(grace, 1.0), self.die)

    def _drop_dead(self) -> None:
        self.die()

    def die(self) -> None:
        """The process is dead; what it has reported is still heard."""
        if self.dead:
            return
        self.dead = True
        del self.worker.runners[self.number]
        unbegun = [task.attempt for task in self.unread]
        cause, message = "signal", "killed by SIGSEGV"
        row = None
        if self.task is not None:
            attempt = self.task.attempt
            doomed, ordered, words = self.doomed or (attempt, cause, message)
            if doomed is not None and doomed != attempt and not self.announced and not self.created and not self.flags:
                unbegun.insert(0, attempt)
            else:
                row = self._row(ordered, {"message": words}, None, None)
        if not self.retired or row is not None or unbegun:
            self.tell(e.RunnerDied(self.number, message, row, b"", unbegun))


def _ranges(ns: list[int]) -> list[int]:
    ranges: list[int] = []
    for n in ns:
        if ranges and ranges[-2] + ranges[-1] == n:
            ranges[-1] += 1
        else:
            ranges += [n, 1]
    return ranges
