"""The progress of a run while its master is at work: a live table on a terminal, lines elsewhere, JSON for programs.

``Progress`` draws snapshots and knows nothing of a master; ``Console`` makes them of a master's state.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from ..master.nodes import Phase
from .words import Table, aligned, columns, duration, escape, plural

if TYPE_CHECKING:
    from ..master.state import MasterState

MODES = ("auto", "rich", "plain", "json", "none")

#: Plain lines: the first one after so many seconds, then after twice as many each time, up to the longest pause.
FIRST_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 120.0
JSON_SECONDS = 1.0
MOST_NAMES = 15


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. ``names`` has a count for each phase (``master.nodes.Phase``); ``elapsed`` is in seconds.

    ``seconds_left`` is an estimate for the targets that are known by now, or None where nothing can be said.
    """

    names: Mapping[str, Sequence[int]]
    elapsed: float
    workers: int = 0
    workers_wanted: int = 0
    failed: int = 0
    retries: int = 0
    seconds_left: float | None = None
    state: str = "running"

    def count(self, *phases: Phase) -> int:
        """How many targets stand in one of the phases."""
        return sum(tally[phase] for tally in self.names.values() for phase in phases)

    @property
    def total(self) -> int:
        """All targets that are known."""
        return sum(map(sum, self.names.values()))


_LEFT = (Phase.HELD, Phase.READY, Phase.PROVISIONAL)


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
        self._stream = stream or sys.stderr
        self._level = logging.getLevelNamesMapping().get(level, logging.CRITICAL + 1)
        if mode == "auto":
            mode = "rich" if self._stream.isatty() else "plain"
        if mode == "none":
            self._level = max(self._level, logging.WARNING)
        make: dict[str, Callable[[TextIO, Callable[[], float]], _Face]] = {"rich": _Rich, "json": _Json, "none": _Silent}
        self._face: _Face = make.get(mode, _Plain)(self._stream, clock)
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


class _Face(Protocol):
    """One way to show a run."""

    def update(self, snapshot: Snapshot) -> None: ...

    def say(self, level: str, text: str) -> None: ...

    def close(self, snapshot: Snapshot) -> None: ...


class _Silent:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream

    def update(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def say(self, level: str, text: str) -> None:
        for line in text.splitlines() or [""]:
            print(f"jobtree: {escape(line)}", file=self._stream)

    def close(self, snapshot: Snapshot) -> None:
        """Nothing."""


class _Plain(_Silent):
    """A line now and then, less and less often, and only where something has changed."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        super().__init__(stream, clock)
        self._clock = clock
        self._pause = FIRST_SECONDS
        self._due = clock() + FIRST_SECONDS
        self._last = ""

    def update(self, snapshot: Snapshot) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._due = now + self._pause
        line = sentence(snapshot)
        if line != self._last:
            self._last = line
            self.say("INFO", f"{duration(snapshot.elapsed)}: {line}")

    def close(self, snapshot: Snapshot) -> None:
        self.say("INFO", ending(snapshot))


class _Json:
    """A line of JSON a second, one for each message, one at the end with ``"final": true``."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._due = 0.0

    def update(self, snapshot: Snapshot) -> None:
        now = self._clock()
        if now >= self._due:
            self._due = now + JSON_SECONDS
            self._write(_document(snapshot))

    def say(self, level: str, text: str) -> None:
        self._write({"schema": 1, "level": level, "message": text})

    def close(self, snapshot: Snapshot) -> None:
        self._write({**_document(snapshot), "final": True})

    def _write(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), file=self._stream)


class _Rich:
    """A table that is drawn anew in its place."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        # No thread, no hands on the user's stdout: drawn when the master's loop says so.
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._started = False

    def update(self, snapshot: Snapshot) -> None:
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(self._drawn(snapshot), refresh=True)

    def say(self, level: str, text: str) -> None:
        from rich.text import Text

        style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}.get(level, "dim")
        for line in text.splitlines() or [""]:
            self._console.print(Text(f"jobtree: {escape(line)}", style=style))

    def close(self, snapshot: Snapshot) -> None:
        if self._started:
            self._live.stop()
            self._started = False
        self.say("INFO" if snapshot.state == "complete" else "WARNING", ending(snapshot))

    def _drawn(self, snapshot: Snapshot) -> Any:
        from rich.console import Group
        from rich.text import Text

        # A live display that is higher than the screen can't be drawn in its place.
        room = max(1, min(MOST_NAMES, self._console.size.height - 5))
        width = self._console.size.width
        lines = [*aligned(_names_table(snapshot, room)), f"{duration(snapshot.elapsed)}  {sentence(snapshot)}"]
        return Group(*(Text(line[: width - 1], no_wrap=True) for line in lines))


def _names_table(snapshot: Snapshot, room: int) -> Table:
    """The names in the order of their coming; where there is no room for all, those with most going on."""
    names = snapshot.names
    by_activity = sorted(names, key=lambda name: (-names[name][Phase.RUNNING], -sum(names[name][phase] for phase in _LEFT)))
    shown = set(by_activity[:room])
    rows = []
    for name in filter(shown.__contains__, names):
        tally = names[name]
        left = sum(tally[phase] for phase in _LEFT)
        done = tally[Phase.DONE] + tally[Phase.WAITING]
        failed = tally[Phase.FAILED] + tally[Phase.BLOCKED]
        share = done / total if (total := sum(tally)) else 0.0
        counts = (_or_dash(count) for count in (tally[Phase.RUNNING], left, done, failed))
        rows.append([escape(name), _bar(share), f"{share:.0%}", *counts])
    if len(by_activity) > room:
        rows.append([f"and {plural(len(by_activity) - room, 'more name')}", "", "", "", "", "", ""])
    return Table(columns("<target", "<", "", "running", "to do", "done", "failed"), rows)


def _or_dash(count: int) -> str:
    return f"{count:,}" if count else "-"


def _bar(share: float, width: int = 16) -> str:
    full = int(share * width)
    return "━" * full + "╌" * (width - full)


def sentence(snapshot: Snapshot) -> str:
    """The run in one line."""
    done = snapshot.count(Phase.DONE, Phase.WAITING)
    words = [f"{done:,} of {plural(snapshot.total, 'target')} done", f"{snapshot.count(Phase.RUNNING):,} running"]
    if snapshot.failed:
        words.append(f"{snapshot.failed:,} failed")
    if snapshot.retries:
        words.append(plural(snapshot.retries, "retry", "retries"))
    if snapshot.workers < snapshot.workers_wanted:
        words.append(f"{snapshot.workers} of {plural(snapshot.workers_wanted, 'worker')}")
    else:
        words.append(plural(snapshot.workers, "worker"))
    if snapshot.seconds_left is not None:
        words.append(f"about {duration(max(1, round(snapshot.seconds_left)))} for what is known")
    return ", ".join(words)


def ending(snapshot: Snapshot) -> str:
    """The last line: how it ended, and what it took."""
    done = snapshot.count(Phase.DONE)
    words = [f"{done:,} of {plural(snapshot.total, 'target')} done" if done < snapshot.total else plural(done, "target")]
    words += [f"{snapshot.failed:,} failed"] if snapshot.failed else []
    blocked = snapshot.count(Phase.BLOCKED)
    words += [f"{blocked:,} blocked by what failed"] if blocked else []
    words += [plural(snapshot.retries, "retry", "retries")] if snapshot.retries else []
    return f"{snapshot.state} after {duration(snapshot.elapsed)}: {', '.join(words)}"


def _document(snapshot: Snapshot) -> dict[str, Any]:
    names = [
        {"name": name, "counts": {phase.name.lower(): tally[phase] for phase in Phase}} for name, tally in snapshot.names.items()
    ]
    return {
        "schema": 1,
        "state": snapshot.state,
        "elapsed": round(snapshot.elapsed, 3),
        "counts": {phase.name.lower(): snapshot.count(phase) for phase in Phase},
        "names": names,
        "workers": snapshot.workers,
        "workers_wanted": snapshot.workers_wanted,
        "failed": snapshot.failed,
        "retries": snapshot.retries,
        "seconds_left": snapshot.seconds_left,
    }


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

    def close(self, state: MasterState) -> None:
        """Draw how it ended."""
        outcome = state.outcome
        self.progress.close(snapshot_of(state, self.clock() - self._began, outcome.state if outcome is not None else "stopped"))


def snapshot_of(state: MasterState, elapsed: float, how: str = "running") -> Snapshot:
    """The state of a master as people see it; ``elapsed`` seconds of its life."""
    core = state.core
    tree = core.tree
    live = [worker for worker in core.roster if worker.peer is not None]
    return Snapshot(
        names={name: tuple(tally) for name, tally in tree.tallies.items()},
        elapsed=elapsed,
        workers=len(live),
        workers_wanted=core.settings.workers,
        failed=sum(tally[Phase.FAILED] for tally in tree.tallies.values()),
        seconds_left=_seconds_left(state, sum(worker.cpus for worker in live)) if how == "running" else None,
        state=how,
    )


def _seconds_left(state: MasterState, cpus: float) -> float | None:
    """Learned seconds of all known targets over the cpus there are; None while a name with targets left was never seen to end."""
    learned = state.core.scheduler.learned
    total = 0.0
    for name, tally in state.core.tree.tallies.items():
        left = tally[Phase.READY] + tally[Phase.HELD] + tally[Phase.RUNNING]
        if not left:
            continue
        known = learned.get(name)
        if known is None or not known.count:
            return None
        total += left * known.mean
    return total / cpus if cpus and total >= cpus else None
