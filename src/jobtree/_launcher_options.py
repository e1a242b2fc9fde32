"""The settings of launchers as options of a run: --gridengine-pe and the like, read from each launcher's own `Options`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from jobtree._option_values import Row
from jobtree.errors import UsageError
from jobtree.launchers import registry
from jobtree.launchers.settings import Setting, reader_of, settings_of, takes


def rows_for(argv: Sequence[str]) -> dict[str, Row]:
    """The rows of our own launchers, and of the others' if the command line names one of them or asks for help."""
    found = rows_of(tuple(name for name in registry.BUILT_IN if name != "local"))
    if _names_a_plugin(argv):
        found = found | rows_of(tuple(name for name in registry.names() if name not in registry.BUILT_IN))
    return found


def find_row(name: str) -> Row | None:
    """The row of one option; other people's launchers are only loaded where ours have none of this name."""
    ours = rows_of(tuple(registry.BUILT_IN))
    if name in ours:
        return ours[name]
    if not any(name.startswith(f"{launcher}_") for launcher in registry.names()):
        return None
    return rows_of(tuple(registry.names())).get(name)


def settings_for(launcher: str, said: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """What to make a launcher with: of all that was said its own settings, and what is common and given.

    Raises UsageError for a common one that this launcher has no use for.
    """
    told = {name.removeprefix(f"{launcher}_"): value for name, value in said.items() if name.startswith(f"{launcher}_")}
    options = registry.load(launcher).Options
    for name, value in common.items():
        if not value:
            continue
        if not takes(options, name):
            option = {"args": "launcher-args"}.get(name, name)
            raise UsageError(f"--{option} means nothing to the launcher {launcher}; leave it out")
        told[name] = value
    return told


@cache
def rows_of(launchers: tuple[str, ...]) -> dict[str, Row]:
    """A row for each setting of each of these launchers; what cannot be loaded has none."""
    found = {}
    for launcher in launchers:
        try:
            options = registry.load(launcher).Options
        except (UsageError, AttributeError):
            continue  # it is told when it is to be used
        for one in settings_of(options):
            found[f"{launcher}_{one.name}"] = _row(launcher, one)
    return found


def _row(launcher: str, one: Setting) -> Row:
    return Row(f"launcher {launcher}", _reader(one), one.metavar, one.help, None, True, True)


def _reader(one: Setting) -> Callable[[Any, str], Any]:
    read = reader_of(one)

    def parse(value: Any, what: str) -> Any:
        if isinstance(value, list):
            return tuple(value)
        if not isinstance(value, str):
            return value
        try:
            return read(value)
        except ValueError as error:
            raise UsageError(f"{what}: {value!r} {error}") from error

    return parse


def _names_a_plugin(argv: Sequence[str]) -> bool:
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        option, _, value = word.partition("=")
        if word in ("-h", "--help"):
            return True
        if option in ("--launcher", "--jobtree-launcher", "--batchSystem") and (value or following) not in registry.BUILT_IN:
            return True
    return False
