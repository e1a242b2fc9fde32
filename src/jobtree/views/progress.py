"""The progress of a run while its master is at work: a live table on a terminal, lines elsewhere, JSON for programs.

``Progress`` draws snapshots and knows nothing of a master; ``Console`` makes them of a master's state.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from ..master.nodes import Phase
from .faces import Face, Json, Plain, Rich, Silent
from .hints import Use, hints_of
from .snapshot import Snapshot

if TYPE_CHECKING:
    from ..master.effects import TellFailure
    from ..master.state import MasterState

MODES = ("auto", "rich", "plain", "json", "none")


class Progress:
    """Shows a run. ``update`` may be called as often as one likes, ``say`` at any time, ``close`` once at the end.

    ``mode`` auto is rich on a terminal and plain elsewhere; none shows nothing but warnings. Output that fails (a closed pipe, a
    full disk) ends the display and never the run.
    """

    def __init__(
        self,
        mode: str = "auto",
        stream: TextIO | None = None,
        *,
        level: str = "INFO",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream: TextIO = stream or sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for life
        self._level = logging.getLevelNamesMapping().get(level, logging.CRITICAL + 1)
        if mode == "auto":
            mode = "rich" if self._stream.isatty() else "plain"
        if mode == "none":
            self._level = max(self._level, logging.WARNING)
        make: dict[str, Callable[[TextIO, Callable[[], float]], Face]] = {"rich": Rich, "json": Json, "none": Silent}
        self._face: Face = make.get(mode, Plain)(self._stream, clock)
        self._broken = False

    def update(self, snapshot: Snapshot) -> None:
        """Show how the run stands now."""
        self._try(lambda: self._face.update(snapshot))

    def say(self, level: str, text: str) -> None:
        """Say something, if its level is high enough; above the live display, where there is one."""
        if logging.getLevelNamesMapping().get(level, logging.INFO) >= self._level:
            self._try(lambda: self._face.say(level, text))

    def close(self, snapshot: Snapshot) -> None:
        """Show how the run has ended."""
        self._try(lambda: self._face.close(snapshot))

    def _try(self, action: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            action()
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._broken = True


@dataclass(slots=True)
class Console:
    """What the master's loop shows itself on: ``show`` its state, ``say`` a word, ``close`` with how it ended."""

    progress: Progress
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def show(self, state: MasterState) -> None:
        """Draw the state as it is now."""
        self.progress.update(snapshot_of(state, self.clock() - self._began))

    def say(self, level: str, text: str) -> None:
        """Say something above it."""
        self.progress.say(level, text)

    def failed(self, what: TellFailure) -> None:
        """Say that an attempt has failed."""
        self.say("ERROR", f"{what.name}:{what.id} has failed: {what.failure.get('message', '')}")

    def close(self, state: MasterState) -> None:
        """Draw how it ended."""
        outcome = state.outcome
        self.progress.close(snapshot_of(state, self.clock() - self._began, outcome.state if outcome is not None else "stopped"))


def snapshot_of(state: MasterState, elapsed: float, how: str = "running") -> Snapshot:
    """The state of a master as people see it; ``elapsed`` seconds of its life."""
    core = state.core
    tree = core.tree
    live = [worker for worker in core.roster if worker.peer is not None]
    cpus = sum(worker.cpus for worker in live)
    left = _seconds_left(state, cpus) if how == "running" else {}
    known = list(left.values())
    return Snapshot(
        names={name: tuple(tally) for name, tally in tree.tallies.items()},
        elapsed=elapsed,
        workers=len(live),
        workers_wanted=core.settings.workers,
        workers_asked=core.ledger.expected,
        failed=sum(tally[Phase.FAILED] for tally in tree.tallies.values()),
        retries=core.retried.total(),
        retried=dict(core.retried),
        seconds_left=sum(filter(None, known)) if known and None not in known else None,
        left=left,
        utilisation=sum(worker.cpus - max(0.0, worker.free_cpus) for worker in live) / cpus if cpus else None,
        hints=() if how == "running" else tuple(hints_of(_uses(state))),
        state=how,
    )


def _seconds_left(state: MasterState, cpus: float) -> dict[str, float | None]:
    """By name: learned seconds of all known targets over the cpus there are; None for a name that was never seen to end."""
    scheduler, found = state.core.scheduler, dict[str, float | None]()
    for name, tally in state.core.tree.tallies.items():
        left = tally[Phase.READY] + tally[Phase.HELD] + tally[Phase.RUNNING]
        if left:
            known = scheduler.learned.get(name)
            found[name] = left * known.mean / cpus if known is not None and known.count and cpus else None
    return found


def _uses(state: MasterState) -> Iterator[Use]:
    """What the targets of each name have asked for and used in this master's life."""
    asked: dict[str, dict[str, float]] = {}
    for form in state.core.tree.forms():
        most = asked.setdefault(form.name, {})
        for word in ("cpus", "memory"):
            most[word] = max(most.get(word, 0), form.requests.get(word) or 0)
    for name, learned in state.core.scheduler.learned.items():
        requests = asked.get(name, {})
        cpus, memory = requests.get("cpus", 0.0), int(requests.get("memory", 0))
        yield Use(name, learned.count, cpus, memory, learned.seconds, learned.cpu_seconds, learned.peak)
