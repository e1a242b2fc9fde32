"""`jobtree launchers`: how workers can be started from here, and why not otherwise; what each can be told."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import JobtreeError
from .arguments import Parser, print_json


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("launchers", "Show which launchers there are, whether they can be used here, and what they can be told.")
    parser.add_json()
    parser.add_argument("--settings", action="store_true", help="each launcher's own options, and the values that they have here")
    given = parser.parse_args(argv)

    from ..launchers import registry
    from ..views.words import Table, columns, escape, show

    found = [(name, *_availability(name)) for name in registry.names()]
    if given.json:
        launchers = [
            {"name": name, "usable": usable, "reason": reason, "settings": list(_settings(name))}
            for name, usable, reason in found
        ]
        print_json({"schema": 1, "launchers": launchers})
        return 0
    rows = [[escape(name), "yes" if usable else "no", escape(reason)] for name, usable, reason in found]
    show([Table(columns("<launcher", "<usable", "<"), rows)], sys.stdout)
    if given.settings:
        rows = [
            [one["option"], str(one["value"] if one["value"] not in (None, (), []) else "-"), one["origin"], one["help"]]
            for name, *_ in found
            for one in _settings(name)
        ]
        show(["", Table(columns("<option", "<value", "<from", "<"), rows)], sys.stdout)
    return 0


def _availability(name: str) -> tuple[bool, str]:
    """Whether a launcher can be used here; one that can't even be made can't."""
    from ..launchers import registry

    with tempfile.TemporaryDirectory(prefix="jobtree-") as directory:
        try:
            launcher = registry.make(name, ["jobtree", "worker"], Path(directory))
            answer = launcher.available()
        except JobtreeError as error:
            return False, str(error)
    return answer.usable, answer.reason


def _settings(name: str) -> Iterator[dict[str, Any]]:
    """The options that only this launcher has, with the values that files and variables give them here."""
    from ..launchers import registry
    from ..launchers.settings import settings_of
    from ..options import Options

    try:
        options = registry.load(name).Options
        here = Options.merged()
    except (JobtreeError, AttributeError):
        return
    for one in settings_of(options):
        key = f"{name}_{one.name}"
        value = here.launcher_settings.get(key, one.default)
        origin = here.origins.get(key, "default")
        yield {"option": f"--{key.replace('_', '-')}", "value": value, "origin": origin, "help": one.help}
