"""Targets that wait for one another: what a round trip costs, through the disk."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload, percentile
from benchmarks.peers import Peer
from benchmarks.targets import chain, chain_of_promises
from jobtree import Target

STEPS = 200


def workload(setting: Setting) -> Workload:
    """200 targets, each waiting for the one before"""
    steps, slots = setting.scaled(STEPS, least=2), engine.slots()

    def follow_ons() -> Figures:
        return _ours(chain(steps, []), setting)

    def promises() -> Figures:
        return _ours(chain_of_promises(steps), setting)

    contenders = {"jobtree": follow_ons, "jobtree, promises": promises}
    contenders |= {peer.name: _theirs(peer, steps, slots) for peer in setting.peers}
    what = f"{steps} targets, each waiting for the one before; every step is on disk before the next begins"
    return Workload("chain", what, "seconds", False, contenders)


def _ours(root: Target[Any], setting: Setting) -> Figures:
    times = engine.run(root, setting.directory).result
    return _figures([later - earlier for earlier, later in pairwise(times)])


def _theirs(peer: Peer, steps: int, slots: int) -> Callable[[], Figures]:
    return lambda: _figures(peer.chain(steps, slots))


def _figures(taken: list[float]) -> Figures:
    return {
        "seconds": sum(taken),
        "step_p50_ms": percentile(taken, 50) * 1e3,
        "step_p99_ms": percentile(taken, 99) * 1e3,
    }
