"""Many targets that do nothing: what a target costs."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.peers import Peer
from benchmarks.targets import fan_out

COUNT = 20_000


def workload(setting: Setting) -> Workload:
    """20,000 no-op targets of one creator, journal on"""
    count, slots = setting.scaled(COUNT), engine.slots()

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
    return Workload("fanout", what, "targets_per_s", True, contenders)


def _theirs(peer: Peer, count: int, slots: int) -> Callable[[], Figures]:
    def sample() -> Figures:
        seconds = peer.fan_out(count, slots)
        return {"targets_per_s": count / seconds, "seconds": seconds}

    return sample
