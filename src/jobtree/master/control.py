"""What clients ask of a living master, and what it answers: verbs of the command line, programs, dashboards.

A request is a verb with a map; its answer, a map too, leaves when what it says is on disk. An answer with ``error`` is a
refusal, in words for people.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocol.messages import Type
from . import records as r
from .choices import Wanted, absence, find, to_cancel, to_retry, words_of
from .core import Core
from .desk import Desk, Refused
from .events import Asked
from .nodes import Node, Phase

#: How long a worker may take to tell what a runner is at (seconds).
STACK_WITHIN = 5.0


class Control:
    """Takes in requests. ``stop`` is the state's own way to an end: at once, or when what runs is done."""

    def __init__(self, core: Core, stop: Callable[[bool], None], desk: Desk) -> None:
        self.core = core
        self._stop_run = stop
        self._desk = desk
        self._stacks: dict[tuple[int, int], list[tuple[int, int, float]]] = {}  # by attempt: who waits for it, until when
        self._verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "ping": self._ping,
            "cancel": self._cancel,
            "retry": self._retry,
            "stop": self._stop,
            "scale": self._scale,
            "drop": desk.drop,
            "taken": desk.taken,
            "close": desk.close,
        }

    def asked(self, event: Asked) -> None:
        """One request."""
        try:
            if event.verb == "stack":
                self._stack(event)
                return
            if event.verb == "open":
                self._answer(event.peer, event.number, self._desk.open(event.peer))
                return
            handler = self._verbs.get(event.verb)
            if handler is None:
                raise Refused(f"this master does not know the verb {event.verb!r}")
            answer = handler(event.about)
        except Refused as refusal:
            answer = {"error": str(refusal)}
        self._answer(event.peer, event.number, answer)

    def _answer(self, peer: int, number: int, answer: dict[str, Any]) -> None:
        self.core.send(peer, Type.REPLY, [number, answer])

    # -- verbs ----------------------------------------------------------------------------------------------------

    def _ping(self, about: dict[str, Any]) -> dict[str, Any]:
        core = self.core
        return {"epoch": core.tree.epoch, "run": core.settings.run, "workers": len(core.roster.by_peer)}

    def _cancel(self, about: dict[str, Any]) -> dict[str, Any]:
        choice = to_cancel(self.core.tree, _ids(about), self.core.now)
        return self._do(choice, "cancelled")

    def _retry(self, about: dict[str, Any]) -> dict[str, Any]:
        self._refuse_at_the_end()
        choice = to_retry(self.core.tree, wanted_of(about), self.core.now, self.core.settings.default_memory)
        return self._do(choice, "tried again")

    def _do(self, choice: Any, verb: str) -> dict[str, Any]:
        for record in choice.records:
            self.core.emit(record)
        if choice.targets:
            self.core.tell("INFO", words_of(choice, verb))
        self.core.absorb()
        answer: dict[str, Any] = choice.answer()
        return answer

    def _stop(self, about: dict[str, Any]) -> dict[str, Any]:
        self._stop_run(bool(about.get("now")))
        return {"running": sum(len(worker.held) for worker in self.core.roster)}

    def _scale(self, about: dict[str, Any]) -> dict[str, Any]:
        self._refuse_at_the_end()
        most = about.get("most")
        if type(most) is not int or most < 1:
            raise Refused("the number of workers must be one at least")
        least = about.get("least")
        if least is not None and (type(least) is not int or not 0 <= least <= most):
            raise Refused("the least number of workers is not above the most, nor below 0")
        settings = self.core.settings
        before, settings.workers = settings.workers, most
        if least is not None or settings.workers_least is not None:
            settings.workers_least = least if least is not None else min(settings.workers_least or 0, most)
        return {"before": before, "workers": most}

    def _refuse_at_the_end(self) -> None:
        if self.core.ending:
            raise Refused("the run is ending; ask again when it has ended")

    # -- the stack of what runs -------------------------------------------------------------------------------------

    def _stack(self, event: Asked) -> None:
        target = event.about.get("target")
        if type(target) is not int:
            raise Refused("whose stack? give a target's id")
        node = find(self.core.tree, target)
        if node is None:
            raise Refused(f"{target}: {absence(self.core.tree, target)}")
        if not isinstance(node, Node) or node.phase is not Phase.RUNNING:
            raise Refused(f"{node.form.name}:{target} does not run: it is {node.phase.name.lower()}")
        worker = self.core.roster.workers[node.worker]
        if worker.peer is None:
            raise Refused(f"its worker {worker.name} is out of contact")
        self._stacks.setdefault(node.attempt, []).append((event.peer, event.number, self.core.now + STACK_WITHIN))
        self.core.send(worker.peer, Type.STACK, [list(node.attempt)])

    def stack_came(self, attempt: tuple[int, int], text: str) -> None:
        """A worker tells where one of its runners is."""
        node = self.core.tree.current.get(attempt)
        worker = self.core.roster.workers.get(node.worker) if node is not None else None
        answer: dict[str, Any] = {"stack": text, "worker": worker.name if worker is not None else ""}
        for peer, number, _ in self._stacks.pop(attempt, ()):
            self._answer(peer, number, answer)

    def look(self) -> None:
        """Answer those who have waited too long."""
        for attempt, waiting in list(self._stacks.items()):
            if any(until <= self.core.now for _, _, until in waiting):
                for peer, number, _ in self._stacks.pop(attempt):
                    self._answer(peer, number, {"error": "its worker has not answered; it may have ended meanwhile"})

    @property
    def deadline(self) -> float | None:
        """When somebody has waited too long."""
        return min((until for waiting in self._stacks.values() for _, _, until in waiting), default=None)


def wanted_of(about: dict[str, Any]) -> Wanted:
    """The choice in a request to try something again."""
    memory, factor = about.get("memory"), about.get("factor")
    if memory is not None and (type(memory) is not int or memory <= 0):
        raise Refused("memory is a number of bytes")
    if factor is not None and (not isinstance(factor, (int, float)) or not 0 < factor < 1e6):
        raise Refused("the factor of the memory is a number above 0")
    targets = _ids(about) if about.get("targets") else []
    return Wanted(targets, str(about.get("cause") or ""), str(about.get("name") or ""), memory, factor)


def _ids(about: dict[str, Any]) -> list[int]:
    targets = about.get("targets")
    if not isinstance(targets, list) or not targets or not all(type(target) is int and target > 0 for target in targets):
        raise Refused("which targets? give their ids")
    return targets


#: Verbs that only records make true: they can be had on a tree at rest as well.
BY_RECORD = frozenset({"cancel", "retry"})


def decide(tree: Any, verb: str, about: dict[str, Any], at: float, default_memory: int) -> tuple[list[r.Record], dict[str, Any]]:
    """The records and the answer of a request on a tree at rest; raises Refused."""
    choice = to_cancel(tree, _ids(about), at) if verb == "cancel" else to_retry(tree, wanted_of(about), at, default_memory)
    return choice.records, choice.answer()
