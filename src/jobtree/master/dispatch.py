"""From ready targets to RUN messages, and back again where a worker holds more than it can begin soon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..protocol.messages import DATA_LIMIT, VALUE_INLINE, Type
from . import records as r
from .core import Core
from .effects import Fetch
from .nodes import Form, Node, Run
from .roster import Worker
from .scheduler import Assignment

#: Seconds between looks at whether somebody waits behind a long target while somebody else is idle.
LOOK_EVERY = 0.05
#: What has been pushed ahead is recalled for an idle worker if the pushing was this long ago (seconds).
RECALL_AFTER = 0.05


@dataclass(slots=True)
class _Letter:
    """A RUN message that is being written."""

    forms: list[list[Any]] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)
    groups: list[list[Any]] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    size: int = 0


class Dispatch:
    """Assigns, and writes the letters to the workers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._letters: dict[int, _Letter] = {}
        self._looked = 0.0
        self._assigned_at: dict[int, float] = {}  # by worker: when it was last given something

    def assign(self) -> None:
        """Give ready targets to workers."""
        core = self.core
        if not core.scheduler.waiting():
            return
        workers = [worker for worker in core.roster if worker.peer is not None and not worker.draining]
        if not workers:
            return
        for assignment in core.scheduler.assign(workers, core.now):
            self._give(assignment)
        for number in list(self._letters):
            self._post(core.roster.workers[number])

    def _give(self, assignment: Assignment) -> None:
        core, worker, what = self.core, assignment.worker, assignment.what
        tree = core.tree
        first_number, epoch = tree.next_number, tree.epoch
        letter = self._letters.setdefault(worker.number, _Letter())
        form = self._form(letter, what.form, worker)
        if isinstance(what, Run):
            first, count = what.first, assignment.amount
            count = min(count, max(1, DATA_LIMIT // max(1, what.mean)))
            if count < assignment.amount:
                core.scheduler.reserve(worker, what.form, count - assignment.amount)
                core.scheduler.shape(what.form).size += assignment.amount - count
            letter.groups.append([first_number, first, count, form, 1, None, None])
            letter.fetches.append(Fetch(what.record, what.index, count))
            letter.size += what.mean * count
        else:
            first, count = what.id, 1
            temp = tree.temp_of(what, epoch, first_number)
            letter.fetches.append(Fetch(*what.source, 1))
            extra = self._extra(what, letter)
            letter.groups.append([first_number, first, 1, form, what.begun + 1, temp, extra])
            letter.size += 1024
        core.emit(r.AttemptsAssigned(core.now, worker.number, first_number, [first, count]))
        for number in range(first_number, first_number + count):
            worker.held[epoch, number] = tree.current[epoch, number]
        self._assigned_at[worker.number] = core.now
        if letter.size > DATA_LIMIT:
            self._post(worker)

    def _form(self, letter: _Letter, form: Form, worker: Worker) -> int:
        index = letter.index.get(id(form))
        if index is None:
            index = letter.index[id(form)] = len(letter.forms)
            shape = self.core.scheduler.shape(form)
            limit = form.requests.get("time_limit", self.core.settings.time_limit)
            memory = shape.memory_on(worker, self.core.settings.default_memory)
            letter.forms.append([form.name, shape.cpus, memory, shape.gpus, limit, bool(form.requests.get("isolate"))])
        return index

    def _extra(self, node: Node, letter: _Letter) -> list[Any] | None:
        """What a single target needs beside its payload: where that lies, if not in the message, and the promises it takes."""
        if node.blob is None and node.takes is None:
            return None
        blob = [*node.blob, *node.creator, node.n] if node.blob is not None else None
        values: list[list[Any]] = []
        todo = list(node.takes or ())
        seen: set[tuple[int, int, int]] = set()
        while todo:
            key, slot = todo.pop()
            if key in seen:
                continue
            seen.add(key)
            values.append([*key, slot.kind, slot.argument])
            if slot.kind == VALUE_INLINE:
                assert slot.source is not None
                letter.fetches.append(Fetch(*slot.source, 1))
            todo += slot.embeds
        return [blob, values]

    def _post(self, worker: Worker) -> None:
        letter = self._letters.pop(worker.number)
        if letter.groups and worker.peer is not None:
            self.core.send(worker.peer, Type.RUN, [letter.forms, letter.groups], letter.fetches)

    # -- recall ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Recall what waits behind something else while there is room elsewhere."""
        core = self.core
        if core.now - self._looked < LOOK_EVERY:
            return
        self._looked = core.now
        if core.scheduler.waiting():
            return
        workers = [worker for worker in core.roster if worker.peer is not None]
        idle = sum(max(0.0, worker.free_cpus) for worker in workers if not worker.draining)
        if idle <= 0:
            return
        for worker in workers:
            if worker.free_cpus < 0 and core.now - self._assigned_at.get(worker.number, 0.0) > RECALL_AFTER:
                self._recall(worker, idle)

    def _recall(self, worker: Worker, idle: float) -> None:
        waiting = [a for a in worker.held if a not in worker.begun and a not in worker.recalled]
        slots = int(max(1.0, worker.cpus))
        surplus = len(worker.held) - slots
        if surplus <= 0 or not waiting:
            return
        # Half of what waits: the other workers finish theirs in about the time that this one needs for the rest.
        count = min(len(waiting), surplus, max(int(idle), (surplus + 1) // 2))
        chosen = waiting[-count:]
        worker.recalled.update(chosen)
        if worker.peer is not None:
            self.core.send(worker.peer, Type.RECALL, [[list(attempt) for attempt in chosen]])

    @property
    def deadline(self) -> float | None:
        """When the next look is due, if somebody holds more than it can run."""
        crowded = any(worker.free_cpus < 0 for worker in self.core.roster)
        roomy = any(worker.free_cpus > 0 and worker.peer is not None for worker in self.core.roster)
        return self._looked + LOOK_EVERY if crowded and roomy else None
