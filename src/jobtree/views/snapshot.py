"""A run at one moment, as those who watch it live are told of it: the figures, and the words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..master.nodes import Phase
from .hints import Hint, sentence_of
from .words import Table, columns, duration, escape, plural


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. ``names`` has a count for each phase (``master.nodes.Phase``); ``elapsed`` is in seconds.

    ``seconds_left``, and ``left`` by name, are estimates for the targets that are known by now, None where nothing can be said.
    ``workers`` are in contact, ``workers_asked`` were asked for or are there; ``utilisation`` is the share of their cpus that
    have a target. ``retried`` counts by name; ``hints`` come at the end.
    """

    names: Mapping[str, Sequence[int]]
    elapsed: float
    workers: int = 0
    workers_wanted: int = 0
    failed: int = 0
    retries: int = 0
    seconds_left: float | None = None
    state: str = "running"
    workers_asked: int = 0
    retried: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, float | None] = field(default_factory=dict)
    utilisation: float | None = None
    hints: tuple[Hint, ...] = ()

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
        ran = tally[Phase.DONE] + tally[Phase.WAITING]
        failed = tally[Phase.FAILED] + tally[Phase.BLOCKED]
        share = ran / total if (total := sum(tally)) else 0.0
        counts = (_or_dash(count) for count in (tally[Phase.RUNNING], left, ran, failed, snapshot.retried.get(name, 0)))
        seconds = snapshot.left.get(name)
        rows.append([escape(name), _bar(share), f"{share:.0%}", *counts, _about(seconds) if seconds is not None else ""])
    if len(by_activity) > room:
        rows.append([f"and {plural(len(by_activity) - room, 'more name')}", *[""] * 8])
    return Table(columns("<target", "<", "", "running", "to do", "have run", "failed", "retries", "left"), rows)


def _about(seconds: float) -> str:
    return duration(max(1, round(seconds)))


def _or_dash(count: int) -> str:
    return f"{count:,}" if count else "-"


def _bar(share: float, width: int = 16) -> str:
    full = int(share * width)
    return "━" * full + "╌" * (width - full)


def sentence(snapshot: Snapshot) -> str:
    """The run in one line."""
    ran = snapshot.count(Phase.DONE, Phase.WAITING)  # "done" would say that all below them is done as well
    words = [f"{ran:,} of {plural(snapshot.total, 'target')} have run", f"{snapshot.count(Phase.RUNNING):,} running"]
    if snapshot.failed:
        words.append(f"{snapshot.failed:,} failed")
    if snapshot.retries:
        words.append(plural(snapshot.retries, "retry", "retries"))
    if snapshot.workers < snapshot.workers_wanted:
        pending = max(0, snapshot.workers_asked - snapshot.workers)
        asked = f" ({pending} pending)" if pending else ""
        words.append(f"{snapshot.workers} of {plural(snapshot.workers_wanted, 'worker')}{asked}")
    else:
        words.append(plural(snapshot.workers, "worker"))
    if snapshot.utilisation is not None and snapshot.workers:
        words[-1] += f" {snapshot.utilisation:.0%} busy"
    if snapshot.seconds_left is not None:
        words.append(f"about {_about(snapshot.seconds_left)} for what is known")
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


def closing(snapshot: Snapshot) -> list[str]:
    """The last lines: how it ended, and what the requests might rather be."""
    return [ending(snapshot), *(sentence_of(hint) for hint in snapshot.hints)]


def document(snapshot: Snapshot) -> dict[str, Any]:
    names = [
        {
            "name": name,
            "counts": {phase.name.lower(): tally[phase] for phase in Phase},
            "retries": snapshot.retried.get(name, 0),
            "seconds_left": snapshot.left.get(name),
        }
        for name, tally in snapshot.names.items()
    ]
    return {
        "schema": 1,
        "state": snapshot.state,
        "elapsed": round(snapshot.elapsed, 3),
        "counts": {phase.name.lower(): snapshot.count(phase) for phase in Phase},
        "names": names,
        "workers": snapshot.workers,
        "workers_wanted": snapshot.workers_wanted,
        "workers_asked": snapshot.workers_asked,
        "utilisation": snapshot.utilisation,
        "failed": snapshot.failed,
        "retries": snapshot.retries,
        "seconds_left": snapshot.seconds_left,
        "hints": [asdict(hint) for hint in snapshot.hints],
    }
