"""What the batch system of a run makes of the requests of old targets; it travels with each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .target import UNSPECIFIED

#: More than any machine has; requests beyond are cut to it, and then fit nowhere.
_MOST_BYTES = 1 << 60
_MOST_CPUS = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The limits of a run, None where there is none. Memory in bytes.

    `threads`: on one machine, how many targets run at a time at most; each of them takes as many of these threads as its cpus and
    memory are shares of the limits, and without limits just one: nothing there was ever held to its requests. On a cluster
    (`threads` 0) requests are what they are.
    """

    threads: int = 0
    max_cpus: float | None = None
    max_memory: float | None = None
    default_cpus: float = 1.0
    default_memory: float = float(2 << 30)
    half_die: bool = False  # the batch system acidTest: every second attempt is killed
    log_level: str = "CRITICAL"
    pool: str | None = None  # the engine's name for the second batch system, if these are its terms
    share_bytes: int | None = None  # on a second system that is one machine: what each of its threads has
    big: Terms | None = None  # the terms of the second batch system, for targets that ask for more than
    big_memory: float = math.inf  # so many bytes
    big_cpus: float = math.inf  # or so many cpus

    def of(self, memory: float, cpus: float) -> Terms:
        """The terms of the batch system to which such a target goes."""
        if self.big is None or (
            self._wanted(memory, self.default_memory) <= self.big_memory
            and self._wanted(cpus, self.default_cpus) <= self.big_cpus
        ):
            return self
        return self.big

    def requests(self, memory: float, cpus: float) -> dict[str, Any]:
        """The keywords of a target of today that asks for the same."""
        found: dict[str, Any] = {} if self.pool is None else {"pool": self.pool}
        if self.half_die:
            found["retries"] = 31
        if self.threads:
            found["cpus"] = float(self._shares(memory, cpus))
            if self.share_bytes is not None:
                found["memory"] = self.share_bytes
            return found
        if is_said(memory) or self.pool is not None:
            found["memory"] = min(math.ceil(self._wanted(memory, self.default_memory)), _MOST_BYTES)
        if is_said(cpus) or self.pool is not None:
            found["cpus"] = min(float(self._wanted(cpus, self.default_cpus)), _MOST_CPUS)
        return found

    def refusal(self, memory: float, cpus: float) -> str:
        """Why a target can never run, or nothing."""
        for what, wanted, most in (("cpus", cpus, self.max_cpus), ("memory", memory, self.max_memory)):
            if is_said(wanted) and most is not None and wanted > most:
                return f"more {what} requested than available: {wanted:.15g}, and --max{what.title()} is {most:.15g}"
        return ""

    def count_of_cpus(self, cpus: float) -> int:
        """As many threads as a target's own programs should use."""
        return max(1, math.ceil(cpus if is_said(cpus) else self.default_cpus))

    def _wanted(self, said: float, default: float) -> float:
        return said if is_said(said) else default

    def _shares(self, memory: float, cpus: float) -> int:
        shares = [1]
        for said, default, most in ((cpus, self.default_cpus, self.max_cpus), (memory, self.default_memory, self.max_memory)):
            if most is not None:
                wanted = self._wanted(said, min(default, most))
                shares.append(math.ceil(wanted * self.threads / most - 1e-9))
        return min(self.threads, max(shares))


def is_said(amount: float | None) -> bool:
    """Whether a number was meant as a request."""
    return amount is not None and 0 < amount < UNSPECIFIED
