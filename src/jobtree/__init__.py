"""Recursive pipelines: targets create targets while they run, on one machine or a cluster, with one journal.

import jobtree

@jobtree.target
def count(path): ...

jobtree.run(count("x"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobtree import errors as errors
    from jobtree._async import run_async as run_async
    from jobtree._async import wrap_future as wrap_future
    from jobtree._cluster import Cluster as Cluster
    from jobtree._command import CommandResult as CommandResult
    from jobtree._command import command as command
    from jobtree._executor import Executor as Executor
    from jobtree._function import call as call
    from jobtree._function import target as target
    from jobtree._futures import Future as Future
    from jobtree._map import map as map  # noqa: A004  # as in concurrent.futures
    from jobtree._promise import Cancelled as Cancelled
    from jobtree._promise import Failure as Failure
    from jobtree._promise import Handle as Handle
    from jobtree._promise import Promise as Promise
    from jobtree._run import main as main
    from jobtree._run import restart as restart
    from jobtree._run import run as run
    from jobtree._target import Target as Target
    from jobtree._target import current_target as current_target
    from jobtree._tree import Tree as Tree
    from jobtree.errors import Cause as Cause
    from jobtree.errors import CommandFailed as CommandFailed
    from jobtree.errors import JobtreeError as JobtreeError
    from jobtree.errors import JournalDamaged as JournalDamaged
    from jobtree.errors import StorageFailed as StorageFailed
    from jobtree.errors import TargetFailure as TargetFailure
    from jobtree.errors import TargetsFailed as TargetsFailed
    from jobtree.errors import TreeLocked as TreeLocked
    from jobtree.errors import TreeMismatch as TreeMismatch
    from jobtree.errors import Unpicklable as Unpicklable
    from jobtree.errors import UsageError as UsageError
    from jobtree.options import Options as Options
    from jobtree.options import add_options as add_options

__version__ = "0.1.0"

# What is public, by the module that has it; imported when first asked for, so that `import jobtree` costs
# little.
_HOMES = {
    "jobtree._async": ("run_async", "wrap_future"),
    "jobtree._cluster": ("Cluster",),
    "jobtree._command": ("CommandResult", "command"),
    "jobtree._executor": ("Executor",),
    "jobtree._function": ("call", "target"),
    "jobtree._futures": ("Future",),
    "jobtree._map": ("map",),
    "jobtree._promise": ("Cancelled", "Failure", "Handle", "Promise"),
    "jobtree._run": ("main", "restart", "run"),
    "jobtree._target": ("Target", "current_target"),
    "jobtree._tree": ("Tree",),
    "jobtree.errors": (
        "Cause",
        "CommandFailed",
        "JobtreeError",
        "JournalDamaged",
        "StorageFailed",
        "TargetFailure",
        "TargetsFailed",
        "TreeLocked",
        "TreeMismatch",
        "Unpicklable",
        "UsageError",
    ),
    "jobtree.options": ("Options", "add_options"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
