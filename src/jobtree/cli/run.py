"""`jobtree run`: a script, or one target of it, with options in front and the script's own arguments behind."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import TargetsFailed, UsageError
from .arguments import Parser

WORDS = """Run a script, or one target of it: a function target, a function, a Target subclass or a target.
The words behind SCRIPT:TARGET are the target's arguments, typed by its annotations
(`jobtree run SCRIPT:TARGET --help` lists them); those behind SCRIPT are the script's own."""


def main(argv: Sequence[str]) -> int:
    """The exit status of the run, or of the script."""
    from ..options import add_options

    parser = Parser("run", WORDS)
    parser.usage = "jobtree run [OPTIONS] SCRIPT[:TARGET] [ARGS]"
    parser.add_argument("script", metavar="SCRIPT[:TARGET]", help="a Python file, and the name of what to run in it")
    parser.add_argument("arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="its arguments")
    add_options(parser)
    given = parser.parse_args(argv)
    path, name = _script_of(given.script)
    sys.argv = [str(path), *given.arguments]
    sys.path.insert(0, str(path.resolve().parent))
    return _run_target(path, name, given) if name else _run_script(path, given)


def _script_of(word: str) -> tuple[Path, str]:
    path, name = Path(word), ""
    if not path.is_file() and ":" in word:
        before, _, name = word.rpartition(":")
        path = Path(before)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such script")
    return path, name


def _run_target(path: Path, name: str, given: argparse.Namespace) -> int:
    from .._arguments import make_root, parser_for
    from .._run import run
    from ..protocol.references import Script, load_script

    target = _find(load_script(Script(str(path.resolve()))), path, name)
    parser = parser_for(target)
    parser.prog = f"jobtree run {path}:{name}"
    root = make_root(target, parser.parse_args(given.arguments))
    try:
        result = run(root, given)
    except TargetsFailed as failed:
        print(failed, file=sys.stderr)
        return failed.exit_status
    if result is not None:
        print(result)
    return 0


def _find(module: Any, path: Path, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        from .._function import FunctionTarget

        known = [word for word, thing in vars(module).items() if isinstance(thing, (FunctionTarget, type)) or callable(thing)]
        close = get_close_matches(name, known, 1)
        raise UsageError(f"{path} has no {name!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return found


def _run_script(path: Path, given: argparse.Namespace) -> int:
    from .. import options

    options.ambient = given
    runpy.run_path(str(path), run_name="__main__")
    if not options.ambient_used:
        raise UsageError(f"{path} has started no run; name the target: jobtree run {path}:TARGET")
    return 0
