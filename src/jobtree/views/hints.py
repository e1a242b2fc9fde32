"""What users should ask for the next time: requests compared with what was used, where it makes a difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .words import escape, plural, size

#: Smaller requests of memory than this are nobody's loss (bytes).
LEAST_MEMORY = 512 << 20
#: A request is too large when less than this share of it was used.
TOO_LARGE = 0.5
#: What is suggested has this much room above the peak.
ROOM = 1.25
#: Names whose attempts took less than this all together tell nothing of their use of cpus (seconds).
LEAST_SECONDS = 1.0
MOST_HINTS = 5
_STEP = 128 << 20


@dataclass(frozen=True, slots=True)
class Use:
    """What the targets of a name have asked for (0: nothing was said) and used: seconds and bytes over ``count`` attempts."""

    name: str
    count: int
    cpus: float
    memory: int
    seconds: float
    cpu_seconds: float
    peak: int

    @property
    def cpus_used(self) -> float:
        """Cpus that were busy on the average."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Hint:
    """A request that is much larger than the use: ``request`` is cpus or memory (bytes), ``suggested`` what would do."""

    name: str
    request: str
    asked: float
    used: float
    suggested: float
    count: int


def hints_of(uses: Iterable[Use], most: int = MOST_HINTS) -> list[Hint]:
    """The most telling ones first: memory by what lay idle, then cpus."""
    uses = [use for use in uses if use.count]
    memory = [
        Hint(use.name, "memory", use.memory, use.peak, suggested_memory(use.peak), use.count)
        for use in uses
        if use.memory >= LEAST_MEMORY and 0 < use.peak < TOO_LARGE * use.memory and suggested_memory(use.peak) < use.memory
    ]
    cpus = [
        Hint(use.name, "cpus", use.cpus, use.cpus_used, suggested_cpus(use.cpus_used), use.count)
        for use in uses
        if use.cpus >= 2 and use.seconds >= LEAST_SECONDS and use.cpus_used < TOO_LARGE * use.cpus
    ]
    memory.sort(key=lambda hint: (hint.asked - hint.used) * hint.count, reverse=True)
    cpus.sort(key=lambda hint: (hint.asked - hint.used) * hint.count, reverse=True)
    return [*memory, *cpus][:most]


def suggested_memory(peak: float) -> int:
    """A round request with some room above the peak, in bytes."""
    wanted = peak * ROOM
    step = _STEP if wanted <= 2 << 30 else _STEP * 4 if wanted <= 8 << 30 else _STEP * 8
    return int(-(-wanted // step) * step)


def suggested_cpus(used: float) -> int:
    """Whole cpus, at least one."""
    return max(1, -(-int(used * 10) // 10))


def sentence_of(hint: Hint) -> str:
    """``Leaf: asked 32G, peak 3G (12 targets); memory="4G" would do``."""
    who = plural(hint.count, "target")
    if hint.request == "memory":
        would_do = f'memory="{size(hint.suggested)}"'
        return f"{escape(hint.name)}: asked {size(hint.asked)}, peak {size(hint.used)} ({who}); {would_do} would do"
    return f"{escape(hint.name)}: asked {hint.asked:g} cpus, used {hint.used:.1f} ({who}); cpus={hint.suggested:g} would do"
