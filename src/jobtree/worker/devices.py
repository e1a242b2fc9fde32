"""Which gpus a target may see, or which cores it may run on: whole ones for itself, shares of one with others."""

from __future__ import annotations

from collections.abc import Iterable

#: Sums of fractions are right but for this.
SLACK = 1e-6


class Devices:
    """The gpus of one worker, by the names under which CUDA knows them; or its cores, by their numbers."""

    def __init__(self, names: Iterable[str]) -> None:
        self.left = dict.fromkeys(names, 1.0)

    def fits(self, amount: float) -> bool:
        """Whether so much can be had: whole gpus that nobody uses, and the rest on a single one."""
        whole, share = _split(amount)
        idle = sum(left > 1.0 - SLACK for left in self.left.values())
        if idle < whole:
            return False
        if not share or idle > whole:
            return True
        return any(share - SLACK <= left <= 1.0 - SLACK for left in self.left.values())

    def take(self, amount: float) -> list[str]:
        """Have them; they fit. A share goes where the least is left, so that whole ones stay whole."""
        whole, share = _split(amount)
        idle = [name for name, left in self.left.items() if left > 1.0 - SLACK]
        taken = idle[:whole]
        for name in taken:
            self.left[name] = 0.0
        if share:
            name = min((name for name, left in self.left.items() if left >= share - SLACK), key=self.left.__getitem__)
            self.left[name] -= share
            taken.append(name)
        return taken

    def give_back(self, names: list[str], amount: float) -> None:
        """They are free again."""
        whole, share = _split(amount)
        for name in names[:whole]:
            self.left[name] = 1.0
        for name in names[whole:]:
            self.left[name] = min(1.0, self.left[name] + share)


def _split(amount: float) -> tuple[int, float]:
    whole = int(amount + SLACK)
    share = amount - whole
    return whole, share if share > SLACK else 0.0
