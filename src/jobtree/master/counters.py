"""Named resources of a whole run (licences, connections to a database): how much of each there is, and how much is in use."""

from __future__ import annotations

from collections.abc import Mapping

#: Sums of fractions are right but for this.
SLACK = 1e-6

Amounts = tuple[tuple[str, float], ...]


class Counters:
    """What may be in use at a time, over all workers together."""

    def __init__(self, capacities: Mapping[str, float] | None = None) -> None:
        self.capacities = dict(capacities or {})
        self.free = dict(self.capacities)

    def missing(self, wanted: Amounts) -> str:
        """What of this can never be had, in words; empty if all can."""
        for name, amount in wanted:
            most = self.capacities.get(name)
            if most is None:
                return f"the resource {name}, which this run has not (give --resource {name}=AMOUNT)"
            if amount > most + SLACK:
                return f"{amount:g} of the resource {name}, of which this run has {most:g}"
        return ""

    def room(self, wanted: Amounts, most: int) -> int:
        """How often this can be had now, at most ``most`` times."""
        for name, amount in wanted:
            if amount > 0:
                most = min(most, int((self.free.get(name, 0.0) + SLACK) // amount))
        return max(0, most)

    def reserve(self, wanted: Amounts, count: int) -> None:
        """Take this so many times; give it back, if negative."""
        for name, amount in wanted:
            self.free[name] = self.free.get(name, 0.0) - amount * count
