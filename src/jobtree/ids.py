"""The identities of things: what is told apart from what, and how it is written."""

from __future__ import annotations

from typing import NamedTuple


class Attempt(NamedTuple):
    """One execution of a target: the epoch of the master that assigned it and a number within that epoch.

    An attempt is what fences messages: one about another attempt than the target's current one changes nothing.
    """

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


#: The creator of the root, which no attempt has created.
NOBODY = Attempt(0, 0)

#: ``n`` of a follow-on among what an attempt creates; children count from 1.
FOLLOW_ON = 0


class PromiseKey(NamedTuple):
    """The target whose result is promised: the attempt that created it, and its ``n`` there."""

    epoch: int
    number: int
    n: int
