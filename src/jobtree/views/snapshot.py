"""A run at one moment, as those who watch it live are told of it: the figures, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..master.nodes import Phase
from .words import Table, columns, duration, escape, plural


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


#: Phases of targets that are still to run.
LEFT = (Phase.HELD, Phase.READY, Phase.PROVISIONAL)


def names_table(snapshot: Snapshot, room: int) -> Table:
    """The names in the order of their coming; where there is no room for all, those with most going on."""
    names = snapshot.names
    by_activity = sorted(names, key=lambda name: (-names[name][Phase.RUNNING], -sum(names[name][phase] for phase in LEFT)))
    shown = set(by_activity[:room])
    rows = []
    for name in filter(shown.__contains__, names):
        tally = names[name]
        left = sum(tally[phase] for phase in LEFT)
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


def document(snapshot: Snapshot) -> dict[str, Any]:
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
