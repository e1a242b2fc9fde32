"""Whole runs from a seed: the real states, the real journal and the real codec in a world that is made up."""

from __future__ import annotations

import traceback
from dataclasses import replace

from jobtree.master import work

from .cluster import Cluster, world_of
from .story import tell

__all__ = ["simulate", "story_of"]


def simulate(seed: int, *, by_hand: bool = True) -> tuple[Cluster, Exception | None]:
    """The run of a seed, and what went wrong with it; nobody cancels targets by hand if not ``by_hand``."""
    world = world_of(seed)
    if not by_hand:
        world = replace(world, faults=replace(world.faults, cancel=0.0))
    before = work.POISON_AFTER
    work.POISON_AFTER = world.poison_after
    cluster = Cluster(world)
    try:
        cluster.run()
    except Exception as problem:  # noqa: BLE001  # whatever it is, its story is told
        return cluster, problem
    finally:
        work.POISON_AFTER = before
    return cluster, None


def story_of(cluster: Cluster, problem: Exception, lines: int = 60) -> str:
    """The last turns before a problem, and where it was noticed."""
    where = "".join(traceback.format_exception(problem))
    return f"{cluster.world}\n{tell(list(cluster.story)[-lines:])}\n{where}"
