"""`jobtree launchers`: how workers can be started from here, and why not otherwise."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import JobtreeError
from .arguments import Parser, print_json


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("launchers", "Show which launchers there are, and whether they can be used here.")
    parser.add_json()
    given = parser.parse_args(argv)

    from ..launchers import registry
    from ..views.words import Table, columns, escape, show

    found = [(name, *_availability(name)) for name in registry.names()]
    if given.json:
        launchers = [{"name": name, "usable": usable, "reason": reason} for name, usable, reason in found]
        print_json({"schema": 1, "launchers": launchers})
        return 0
    rows = [[escape(name), "yes" if usable else "no", escape(reason)] for name, usable, reason in found]
    show([Table(columns("<launcher", "<usable", "<"), rows)], sys.stdout)
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
