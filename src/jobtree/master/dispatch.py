"""From ready targets to RUN messages, and back again where a worker holds more than it can begin soon."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..protocol.messages import DATA_LIMIT, VALUE_BLOB, VALUE_INLINE, Type
from . import records as r
from .core import Core
from .effects import Fetch, Spill
from .nodes import Form, Node, Run, Slot
from .roster import Worker
from .scheduler import Assignment

#: Seconds between looks at whether somebody waits behind a long target while somebody else is idle.
LOOK_EVERY = 0.05
#: Inline values of at least so many bytes go by way of TREE/blobs if those of one target are more than SPILL_OVER bytes, or if
#: more than SPILL_USES targets take them.
SPILL_FROM, SPILL_OVER, SPILL_USES = 4096, 1 << 20, 4
#: The smaller values that one target may take, in bytes and in number: they have to go into one message.
MOST_INLINE, MOST_VALUES = 40 << 20, 1_000_000
#: What has been pushed ahead is recalled for an idle worker if the pushing was this long ago (seconds).
RECALL_AFTER = 0.05


@dataclass(slots=True)
class _Letter:
    """A RUN message that is being written."""

    forms: list[list[Any]] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)
    groups: list[list[Any]] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    spills: list[Spill] = field(default_factory=list)
    size: int = 0


class Dispatch:
    """Assigns, and writes the letters to the workers."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._letters: dict[int, _Letter] = {}
        self._looked = 0.0
        self._crowded = False  # somebody may hold more than it can run
        self._assigned_at: dict[int, float] = {}  # by worker: when it was last given something

    def assign(self) -> None:
        """Give ready targets to workers."""
        core = self.core
        if not core.roster.takers:
            return
        for assignment in core.scheduler.assign(core.roster.takers, core.now):
            if not self._refuse(assignment):
                self._give(assignment)
        for number in list(self._letters):
            self._post(core.roster.workers[number])

    def _refuse(self, assignment: Assignment) -> bool:
        """Fail a target that takes more than a message can bring."""
        what = assignment.what
        if isinstance(what, Run) or what.takes is None:
            return False
        values = values_of(what.takes)
        size = sum(slot.size for _, slot in values if slot.kind == VALUE_INLINE and slot.size < SPILL_FROM)
        if size <= MOST_INLINE and len(values) <= MOST_VALUES:
            return False
        self.core.scheduler.reserve(assignment.worker, what.form, -1)
        text = (
            f"the promises that it takes have {len(values):,} values of {size / 2**20:.0f} MiB, and the most is "
            f"{MOST_VALUES:,} of {MOST_INLINE >> 20} MiB; let the targets write files in global_temp_dir, and pass paths"
        )
        self.core.emit(r.TargetsRefused(self.core.now, [what.id], "no-fit", text))
        self.core.absorb()
        return True

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
            letter.size += what.mean + 200
        core.emit(r.AttemptsAssigned(core.now, worker.number, first_number, [first, count]))
        for number in range(first_number, first_number + count):
            worker.held[epoch, number] = tree.current[epoch, number]
        self._assigned_at[worker.number] = core.now
        self._crowded = self._crowded or worker.free_cpus < 0
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
        values, size = written(values_of(node.takes or ()), letter.fetches, letter.spills)
        letter.size += size
        return [blob, values]

    def _post(self, worker: Worker) -> None:
        letter = self._letters.pop(worker.number)
        if letter.groups and worker.peer is not None:
            self.core.send(worker.peer, Type.RUN, [letter.forms, letter.groups], letter.fetches, letter.spills)

    # -- recall ---------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Recall what waits behind something else while there is room elsewhere."""
        core = self.core
        if core.now - self._looked < LOOK_EVERY:
            return
        self._looked = core.now
        # What waits for a worker fits into none of the room there is, or it would have been given out.
        workers = core.roster.in_contact
        self._crowded = any(worker.free_cpus < 0 for worker in workers)
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
        """When the next look is due, if somebody holds more than it can run; at once if a turn was too short for all."""
        if self.core.scheduler.unsettled:
            return self.core.now
        return self._looked + LOOK_EVERY if self._crowded else None


Kept = tuple[tuple[int, int, int], Slot]


def written(slots: list[Kept], fetches: list[Fetch], spills: list[Spill]) -> tuple[list[list[Any]], int]:
    """Kept promises as a message has them, and how many bytes that takes; large inline ones go by way of TREE/blobs."""
    values: list[list[Any]] = [[*key, slot.kind, slot.argument] for key, slot in slots]
    inline = [(slot, value) for (_, slot), value in zip(slots, values, strict=True) if slot.kind == VALUE_INLINE]
    total = sum(slot.size for slot, _ in inline)
    size = 20 * len(values)
    for slot, value in inline:
        assert slot.source is not None
        fetch = Fetch(*slot.source, 1)
        if slot.size >= SPILL_FROM and (total > SPILL_OVER or slot.uses > SPILL_USES):
            slot.spilled = True
            value[3] = VALUE_BLOB
            spills.append(Spill(fetch, *slot.attempt, value))
        else:
            fetches.append(fetch)
            size += slot.size
    return values, size


def values_of(takes: Iterable[Kept]) -> list[Kept]:
    """All kept promises that somebody needs: those that are taken, and those inside their values."""
    found: dict[tuple[int, int, int], Slot] = {}
    todo = list(takes)
    while todo:
        key, slot = todo.pop()
        if key not in found:
            found[key] = slot
            todo += slot.embeds
    return list(found.items())
