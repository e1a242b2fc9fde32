"""`jobtree VERB ...`: the table of verbs, and how every one of them ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, NoReturn

from ..errors import JobtreeError, StorageFailed, UsageError


class Verb(NamedTuple):
    """A verb: the module here that has its `main(argv) -> exit status`, and what it is for in a few words."""

    module: str
    words: str


VERBS: dict[str, Verb] = {
    "run": Verb("run", "a script, or one target of it"),
    "status": Verb("status", "how a run stands"),
    "logs": Verb("logs", "what its targets print; -f follows"),
    "ps": Verb("ps", "my runs: how they stand, where their masters are"),
    "attach": Verb("attach", "the console of a detached run"),
    "stats": Verb("stats", "what they took: time, cpu, wait, memory"),
    "top": Verb("top", "a run on the whole screen"),
    "dashboard": Verb("dashboard", "a run as a local web page"),
    "report": Verb("report", "all of it as one HTML page"),
    "restart": Verb("restart", "go on with a run that has stopped"),
    "explain": Verb("explain", "why targets have failed, or one has not run yet"),
    "debug": Verb("debug", "run a failed target again here, under pdb"),
    "cancel": Verb("cancel", "targets are not wanted any more, with all below them"),
    "retry": Verb("retry", "try again what has failed, or was cancelled"),
    "stop": Verb("stop", "end a run, so that it can be restarted"),
    "scale": Verb("scale", "another number of workers"),
    "stack": Verb("stack", "where in its code a running target is"),
    "clean": Verb("clean", "remove the directory of a run"),
    "journal": Verb("journal", "verify, dump or salvage the journal of a run"),
    "launchers": Verb("launchers", "how workers can be started from here"),
    "worker": Verb("worker", "join a run by hand"),
}
ALIASES = {"resume": "restart", "why": "explain"}

#: Exit status of a program whose reader has gone away, as a shell counts it: 128 + SIGPIPE.
_NO_READER = 141
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line, and return its exit status. Errors are one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:  # closed by the caller, who wants the exit status only
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for life
    try:
        status = _run(words)
        sys.stdout.flush()
    except JobtreeError as error:
        return _complain(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return _NO_READER
    except OSError as error:
        if error.filename is None:
            _forget_stdout()
            return _complain(f"the output can't be written: {error.strerror}", StorageFailed.exit_status)
        return _complain(f"{error.filename}: {error.strerror}", StorageFailed.exit_status)
    return status


def _run(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("-h", "--help", "help"):
        print(_help())
        return 0
    if first in ("-V", "--version"):
        from .. import __version__

        print(f"jobtree {__version__}")
        return 0
    verb = VERBS.get(ALIASES.get(first, first))
    if verb is None:
        _refuse(first)
    status: int = import_module(f"jobtree.cli.{verb.module}").main(words[1:])
    return status


def _refuse(word: str) -> NoReturn:
    from difflib import get_close_matches

    if word.startswith("-"):
        raise UsageError(f"{word}: options come behind a verb; see `jobtree --help`")
    close = get_close_matches(word, [*VERBS, *ALIASES], 1)
    hint = f"did you mean {close[0]!r}?" if close else "see `jobtree --help`"
    raise UsageError(f"there is no verb {word!r}; {hint}")


def _help() -> str:
    width = max(map(len, VERBS))
    verbs = [f"  {name:<{width}}  {verb.words}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: jobtree VERB [OPTIONS] [TREE]",
            "",
            "Look at the runs of jobtree, and go on with them.",
            "",
            *verbs,
            "",
            "TREE is the directory of a run; left out, it is $JOBTREE_TREE or ./jobTree.",
            "`jobtree VERB --help` says more; `jobtree --version` which version this is.",
        ]
    )


def _complain(text: str, status: int) -> int:
    with contextlib.suppress(OSError):
        print(f"jobtree: {' '.join(text.split())}", file=sys.stderr)
    return status


def _forget_stdout() -> None:
    """So that Python does not complain about it once more when it ends."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
