"""From a launcher's name to the launcher: entry points, ours among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobtree.errors import UsageError
from jobtree.launchers.base import Launcher

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "jobtree.launchers"

#: What pyproject.toml declares, for a source tree that is on the path without being installed.
BUILT_IN = {
    "local": "jobtree.launchers.local:LocalLauncher",
    "gridengine": "jobtree.launchers.gridengine:GridEngineLauncher",
    "lsf": "jobtree.launchers.lsf:LsfLauncher",
    "parasol": "jobtree.launchers.parasol:ParasolLauncher",
    "slurm": "jobtree.launchers.slurm:SlurmLauncher",
}


def make(name: str, command: Sequence[str], directory: Path, settings: dict[str, Any] | None = None) -> Launcher:
    """The launcher `name` for workers started by `command`, with TREE/blocks as its directory.

    Raises UsageError for a name that nobody has registered, one that cannot be loaded, or unknown settings.
    """
    made = load(name)
    known = [field.name for field in fields(made.Options)]
    for key in settings or {}:
        if key not in known:
            raise UsageError(f"the launcher {name!r} has no setting {key!r}; it has {', '.join(known) or 'none'}")
    launcher: Launcher = made(list(command), directory, made.Options(**(settings or {})))
    return launcher


def load(name: str) -> Any:
    """The class (or factory) registered as `name`; it has a nested dataclass `Options`."""
    if name in BUILT_IN:  # without importlib.metadata, which takes longer to import than all of this package
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(module), attribute)
    found = _registered()
    if name not in found:
        close = get_close_matches(name, found, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(found))}"
        raise UsageError(f"there is no launcher {name!r}; {hint}")
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise UsageError(f"the launcher {name!r} ({found[name].value}) cannot be loaded: {error}") from error


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_registered())


def _registered() -> dict[str, EntryPoint]:
    from importlib.metadata import EntryPoint, entry_points

    found = {name: EntryPoint(name, value, GROUP) for name, value in BUILT_IN.items()}
    for entry in entry_points(group=GROUP):
        if entry.name not in BUILT_IN:  # no plugin can put itself in the place of ours
            found[entry.name] = entry
    return found
