"""The child process in which a session's master lives: started, listened to, and let go of."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import JobtreeError, UsageError
from .options import Options


class ChildMaster:
    """A master on a new tree; raises UsageError if there can be none.

    ``hear`` is called, in a thread of its own, with each thing that the master tells: ``said`` (level, text), ``shown`` (figures)
    and, once, ``ended`` (state, reason), which comes at its death too.
    """

    def __init__(self, tree: Path, options: Options, around: Any, hear: Callable[[str, Any], None], *, shows: bool) -> None:
        self.tree = tree
        self._hear = hear
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("_session.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a ^C at the terminal is for the user's process to act on
        )
        spec = {"tree": str(tree), "options": options.to_wire(), "around": {**around.about()}, "shows": shows}
        self._begin(spec)
        self._thread = threading.Thread(target=self._listen, name="jobtree-master-words", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The master's process id."""
        return self._process.pid

    def _begin(self, spec: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(spec).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # what it has said tells why
        for line in self._process.stdout:
            words = json.loads(line)
            if "ready" in words:
                return
            if "refused" in words:
                self.let_go()
                raise UsageError(words["refused"])
            self._pass_on(words)
        status = self._process.wait()
        raise JobtreeError(f"the master of {spec['tree']} could not start (exit status {status})")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        ended: list[str] | None = None
        for line in self._process.stdout:
            words = json.loads(line)
            ended = words.get("ended", ended)
            self._pass_on({key: value for key, value in words.items() if key != "ended"})
        status = self._process.wait()
        self._hear("ended", ended or ["lost", f"its process has ended with status {status}"])

    def _pass_on(self, words: dict[str, Any]) -> None:
        for key, value in words.items():
            self._hear(key, value)

    def let_go(self) -> None:
        """Have it end, if it has not yet, by closing its input; what runs is stopped."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass  # it has ended by itself

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended and all that it said was heard; False if it has not in time."""
        self._thread.join(seconds)
        return not self._thread.is_alive()
