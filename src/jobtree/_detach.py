"""A run that goes on when who began it has gone: --detach. Its console is the file TREE/console, which `jobtree attach` shows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from .errors import UsageError

#: The file that the output of a detached run goes to, the script's own among it.
CONSOLE = "console"

_wake: int | None = None


def detach() -> None:
    """Go on as another process, in a session of its own; this one waits until the run has begun, and ends.

    What keeps a run from beginning is so still said here, with its exit status. Raises UsageError where there is no script.
    """
    global _wake
    if hasattr(sys, "ps1") or not getattr(sys.modules.get("__main__"), "__file__", None):
        raise UsageError("--detach needs a script or a command line: a session can't go on without itself")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    heard, _wake = os.pipe()
    child = os.fork()
    if child:
        os.close(_wake)
        _await(child, heard)
    os.close(heard)
    os.setsid()


def _await(child: int, heard: int) -> NoReturn:
    words = os.read(heard, 4096)
    if words:
        os.write(2, words)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def begun(tree: Path) -> None:
    """The run has begun: its console is a file from now on, and who waits may go."""
    global _wake
    if _wake is None:
        return
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    console = os.open(tree / CONSOLE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.close(console)
    os.close(nothing)
    words = f"jobtree: the run goes on as process {os.getpid()}; jobtree attach {tree} shows its console, jobtree stop ends it\n"
    os.write(_wake, os.fsencode(words))
    os.close(_wake)
    _wake = None
