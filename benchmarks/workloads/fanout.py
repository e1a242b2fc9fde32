"""Many targets that do nothing: what a target costs."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.peers import SLOWER, Peer
from benchmarks.targets import fan_out

COUNT = 20_000


def workload(setting: Setting) -> Workload:
    """20,000 no-op targets of one creator, journal on"""
    return _of("fanout", setting.scaled(COUNT), setting)


def many(setting: Setting) -> Workload:
    """ten times as many"""
    return _of("many", setting.scaled(10 * COUNT), setting)


def _of(name: str, count: int, setting: Setting) -> Workload:
    slots = engine.slots()

    def ours() -> Figures:
        run = engine.run(fan_out(count), setting.directory)
        return {
            "targets_per_s": count / run.result,
            "seconds": run.result,
            "whole_run_s": run.seconds,
            "master_cpu_us_per_target": run.master_cpu / count * 1e6,
            "worker_cpu_us_per_target": run.worker_cpu / count * 1e6,
            "journal_bytes_per_target": run.journal_bytes / count,
        }

    contenders = {"jobtree": ours} | {peer.name: _theirs(peer, count, slots) for peer in setting.peers}
    what = f"{count:,} no-op targets, {slots} slots; from the first add_child until all have ended"
    return Workload(name, what, "targets_per_s", True, contenders)


def _theirs(peer: Peer, count: int, slots: int) -> Callable[[], Figures]:
    count = max(1, count // SLOWER.get(peer.name, 1))

    def sample() -> Figures:
        seconds = peer.fan_out(count, slots)
        return {"targets_per_s": count / seconds, "seconds": seconds}

    return sample
