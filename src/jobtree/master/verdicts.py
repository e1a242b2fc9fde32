"""Whether and when a target that has failed is tried again: after growing pauses, and with more memory if it ran out of it."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from ..errors import Cause
from ..protocol.messages import ROW_CAUSE, ROW_FAILURE
from ..resources import format_size
from .core import Core
from .nodes import Node

#: The first pause before a failed target is tried again, and the longest, in seconds; each one doubles. Chance takes up to half.
BACKOFF = 0.25
BACKOFF_MOST = 30.0
#: Causes after which trying again is of no use.
FINAL = frozenset({Cause.CANCELLED, Cause.POISON})


class Verdict(NamedTuple):
    """When the target may be tried again (unix seconds; None: never), and the memory that it asks for then, if that is new."""

    at: float | None
    memory: int | None = None


class Verdicts:
    """Decides about the bad ends of attempts."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._grown: set[str] = set()  # names of which people were told that they get more memory

    def of(self, node: Node, row: list[Any]) -> Verdict:
        """What is to become of the target whose attempt has ended with ``row``."""
        now, cause, failure = self.core.now, row[ROW_CAUSE], row[ROW_FAILURE] or {}
        if node.attempt.epoch < self.core.tree.epoch:
            return Verdict(now)  # it was adopted, and ran the code as it was before the restart
        if cause == Cause.MEMORY and (memory := self._more_memory(node)) is not None:
            return Verdict(now + self._pause(node.id, node.grown), memory)
        requests = node.form.requests
        if cause in FINAL or node.tries >= self.allowed(node):
            return Verdict(None)
        wanted = requests.get("retry_on")
        if wanted is not None and not any(word in wanted for word in (cause, failure.get("exit"), *failure.get("types", ()))):
            return Verdict(None)
        return Verdict(now + self._pause(node.id, node.tries))

    def allowed(self, node: Node) -> int:
        """How often the target may be tried again in all."""
        return int(node.form.requests.get("retries", self.core.settings.retries))

    def _pause(self, target: int, tries: int) -> float:
        return min(self.core.settings.backoff_most, pause(target, tries))

    def _more_memory(self, node: Node) -> int | None:
        """Twice as much, as far as any worker has that; None if it may not, or can't, have more."""
        core = self.core
        worker = core.roster.workers.get(node.worker)
        if node.grown >= core.settings.oom_retries or worker is None:
            return None
        had = core.scheduler.shape(node.form).memory_on(worker, core.settings.default_memory)
        memory = min(2 * had, core.largest_memory())
        if memory <= had:
            return None
        name = node.form.name
        if name not in self._grown:
            self._grown.add(name)
            core.tell("WARNING", f"{name}:{node.id} ran out of its {format_size(had)} of memory: it is tried again with more")
        return memory


def pause(target: int, tries: int) -> float:
    """Seconds to wait before a try: always the same for one target and try, but others do not come back at the same time."""
    chance = zlib.crc32(f"{target}:{tries}".encode()) / 2**32
    return min(BACKOFF_MOST, BACKOFF * 2.0 ** min(tries, 16)) * (0.5 + chance / 2)
