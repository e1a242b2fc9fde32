"""The workloads, one file each."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import Setting, Workload
from benchmarks.workloads import (
    chain,
    commands,
    fanout,
    imports,
    output,
    shapes,
    sizes,
    sleep10ms,
    sorting,
    start,
    status,
    tree,
    waiting,
    workers,
    zero,
)

TABLE: dict[str, Callable[[Setting], Workload]] = {
    "fanout": fanout.workload,
    "chain": chain.workload,
    "tree": tree.workload,
    "start": start.workload,
    "imports": imports.workload,
    "sleep10ms": sleep10ms.workload,
    "commands": commands.workload,
    "zero": zero.workload,
    "sizes": sizes.workload,
    "output": output.workload,
    "shapes": shapes.workload,
    "workers": workers.workload,
    "status": status.workload,
    "waiting": waiting.workload,
    "many": fanout.many,
    "bigtree": tree.big,
    "sorting": sorting.workload,
}

#: Those that take minutes, and are measured only when asked for.
LONG = ("sorting", "waiting", "many", "bigtree")
