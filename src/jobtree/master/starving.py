"""Says on the console what has waited long though no worker that is there could ever run it: nothing may wait in silence."""

from __future__ import annotations

from ..resources import format_size
from .core import Core
from .nodes import Node
from .scheduler import Shape

#: Seconds between two looks, and how long nobody may have been able to run something before it is said.
LOOK_EVERY = 5.0
SAID_AFTER = 30.0
#: Shapes that are looked at in one go at the most.
MOST_SHAPES = 1000


class Starving:
    """Watches the shapes that wait."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._looked = 0.0
        self._since: dict[Shape, float] = {}
        self._said: set[Shape] = set()

    def look(self) -> None:
        """Find out what nobody can run, and say it once."""
        core = self.core
        if core.now - self._looked < LOOK_EVERY:
            return
        self._looked = core.now
        workers = core.roster.in_contact
        cpus = max((worker.cpus for worker in workers), default=0.0)
        memory = max((worker.memory for worker in workers), default=0)
        gpus = max((worker.gpus for worker in workers), default=0.0)
        waiting = core.scheduler.waiting()[:MOST_SHAPES]
        starving = [shape for shape in waiting if not workers or not shape.fits(cpus, memory, gpus)]
        self._since = {shape: self._since.get(shape, core.now) for shape in starving}
        self._said &= self._since.keys()
        for shape, since in self._since.items():
            if core.now - since >= SAID_AFTER and shape not in self._said:
                self._said.add(shape)
                self._say(shape, len(workers))

    def _say(self, shape: Shape, workers: int) -> None:
        what = shape.best()
        if what is None:
            return
        target = what.id if isinstance(what, Node) else what.first
        memory = f", {format_size(shape.memory)} of memory" if shape.memory else ""
        gpus = f", {shape.gpus:g} gpus" if shape.gpus else ""
        there = "no worker is there" if not workers else f"none of the {workers} that are there is large enough"
        asks = f"it asks for {shape.cpus:g} cpus{memory}{gpus}, and {there}"
        name = f"{what.form.name}:{target}"
        words = f"no worker can run {name} for {SAID_AFTER:.0f} s now: {asks}; jobtree explain TREE {target} says more"
        self.core.tell("WARNING", words)
