"""`jobtree worker`: what launchers start on a node; also by hand."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """The exit status of the worker."""
    from ..worker.main import main as work

    return work(argv)
