"""Targets of 10 ms on two slots: how much of the machine the user gets."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.peers import Peer
from benchmarks.targets import fan_out_naps

COUNT = 400
SECONDS = 0.01
SLOTS = 2


def workload(setting: Setting) -> Workload:
    """400 targets of 10 ms on two slots, against the ideal of 2.0 s"""
    count = setting.scaled(COUNT, least=SLOTS)

    def ours() -> Figures:
        return _figures(count, engine.run(fan_out_naps(count, SECONDS), setting.directory, worker_cpus=SLOTS).result)

    contenders = {"jobtree": ours} | {peer.name: _theirs(peer, count) for peer in setting.peers}
    what = f"{count} targets that sleep 10 ms, on {SLOTS} slots"
    return Workload("sleep10ms", what, "percent_of_ideal", True, contenders)


def _theirs(peer: Peer, count: int) -> Callable[[], Figures]:
    return lambda: _figures(count, peer.naps(count, SECONDS, SLOTS))


def _figures(count: int, seconds: float) -> Figures:
    return {"percent_of_ideal": 100 * count * SECONDS / SLOTS / seconds, "seconds": seconds}
