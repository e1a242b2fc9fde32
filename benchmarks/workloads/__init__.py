"""The workloads, one file each."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.measure import Setting, Workload
from benchmarks.workloads import chain, commands, fanout, imports, sleep10ms, sorting, start, tree

TABLE: dict[str, Callable[[Setting], Workload]] = {
    "fanout": fanout.workload,
    "chain": chain.workload,
    "tree": tree.workload,
    "start": start.workload,
    "imports": imports.workload,
    "sleep10ms": sleep10ms.workload,
    "commands": commands.workload,
    "sorting": sorting.workload,
}

#: Those that take minutes, and are measured only when asked for.
LONG = ("sorting",)
