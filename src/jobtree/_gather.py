"""Many targets as one: the root of ``jobtree.run([...])`` and ``jobtree.map``."""

from __future__ import annotations

from typing import Any

from ._promise import Promise
from ._recording import words_for_no_target
from ._target import Target
from .errors import UsageError


class Gather(Target[list[Any]], name="gather", memory=64 << 20):
    """Adds the targets that it was given as its children; its result is the list of theirs."""

    def __init__(self, targets: list[Target[Any]]) -> None:
        super().__init__()
        for target in targets:
            if not isinstance(target, Target):
                raise UsageError(f"jobtree.run takes a list of targets: {words_for_no_target(target)}")
        self.targets = targets

    def run(self) -> list[Promise[Any]]:
        """Add them all."""
        return self.add_children(self.targets)
