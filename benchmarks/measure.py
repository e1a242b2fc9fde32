"""What a workload is, and how samples are taken: of all contenders in turn, so that a busy minute hits each of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.peers import Peer

#: The figures of one sample, by names that end in their unit.
Figures = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """Where and how large: trees are made in ``directory``; sizes are multiplied by ``scale``."""

    directory: Path
    scale: float = 1.0
    peers: tuple[Peer, ...] = ()

    def scaled(self, size: int, least: int = 1) -> int:
        """A size for this run."""
        return max(least, round(size * self.scale))


@dataclass(frozen=True)
class Workload:
    """Something to be done by each contender; ``figure`` is what they are compared by."""

    name: str
    what: str
    figure: str
    more_is_better: bool
    contenders: dict[str, Callable[[], Figures]]  # jobtree is the first


@dataclass(frozen=True)
class Measured:
    """The samples of a workload."""

    workload: Workload
    samples: dict[str, list[Figures]] = field(default_factory=dict)

    def median(self, contender: str) -> Figures:
        """The median of each figure."""
        samples = self.samples[contender]
        return {name: statistics.median([sample[name] for sample in samples]) for name in samples[0]}

    def spread(self, contender: str, figure: str) -> tuple[float, float]:
        """The least and the greatest sample."""
        values = [sample[figure] for sample in self.samples[contender]]
        return min(values), max(values)

    def ratios(self) -> dict[str, float]:
        """How many times better jobtree does than each other contender (above 1), or worse (below)."""
        ours, *others = self.samples
        figure = self.workload.figure
        own = self.median(ours)[figure]
        found = {other: self.median(other)[figure] for other in others}
        return {other: own / value if self.workload.more_is_better else value / own for other, value in found.items()}


def measure(workload: Workload, repeat: int) -> Measured:
    """Take ``repeat`` samples of each contender, in turn."""
    measured = Measured(workload)
    for _ in range(repeat):
        for name, run in workload.contenders.items():
            measured.samples.setdefault(name, []).append(run())
    return measured


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many percent lie (the nearest one)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]
