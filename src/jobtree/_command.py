"""Programs as targets: `jobtree.command`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobtree._promise import Promise
from jobtree._target import Target
from jobtree.errors import CommandFailed, UsageError

SHELL = ("bash", "-euo", "pipefail", "-c")

#: How much of a command its name and its messages show.
SHOWN = 200


@dataclass(frozen=True)
class CommandResult:
    """What is known of a program that succeeded.

    `argv` is what was run, `seconds` its wall time, `stdout` the file that its output was written to, if
    one was asked for, and `outputs` are the files that it had to make.
    """

    argv: tuple[str, ...]
    seconds: float
    stdout: Path | None
    outputs: tuple[Path, ...]


class Command(Target[CommandResult]):
    """The target that `command` makes."""

    def __init__(
        self,
        cmd: str | Sequence[Any],
        cwd: Any,
        env: Mapping[str, Any] | None,
        stdin: Any,
        stdout: Any,
        outputs: Sequence[Any],
        requests: Mapping[str, Any],
    ) -> None:
        super().__init__(**requests)
        self._jobtree_command_ = (cmd, cwd, env, stdin, stdout, outputs)

    def run(self) -> CommandResult:
        """Run the program; raises CommandFailed if it fails or leaves an output out."""
        cmd, cwd, env, stdin, stdout, outputs = self._jobtree_command_
        argv = (*SHELL, cmd) if isinstance(cmd, str) else tuple(_word(member) for member in cmd)
        base = Path.cwd() if cwd is None else Path.cwd() / _word(cwd)
        target_file = None if stdout is None else base / _word(stdout)
        begun = time.monotonic()
        source = None if stdin is None else base / _word(stdin)
        status = _run(argv, base, _environment(env), source, target_file)
        if status != 0:
            raise CommandFailed(_shown(cmd), status)
        made = tuple(base / _word(output) for output in outputs)
        missing = [str(path) for path in made if not path.exists()]
        if missing:
            raise CommandFailed(_shown(cmd), 0, f"it did not make {', '.join(missing)}")
        return CommandResult(argv, time.monotonic() - begun, target_file, made)

    def _jobtree_default_name_(self) -> str:
        """The program's name; for a shell command its first word."""
        cmd = self._jobtree_command_[0]
        words = cmd.split() if isinstance(cmd, str) else [cmd[0]]
        return os.path.basename(str(words[0])) if isinstance(words[0], (str, os.PathLike)) else "command"


def command(
    cmd: str | Sequence[Any],
    *,
    cwd: Any = None,
    env: Mapping[str, Any] | None = None,
    stdin: Any = None,
    stdout: Any = None,
    outputs: Iterable[Any] = (),
    **requests: Any,
) -> Target[CommandResult]:
    """A program as a target: a string runs under `bash -euo pipefail -c`, a list without a shell.

    Members of a list may be strings, numbers, paths or promises of these, and so may be all other
    arguments. `env` is added to the environment; `stdin` is a file (without one the program reads nothing).
    `stdout` is a file which is written beside its place and renamed at success; without one the output goes
    into the target's log. A file of `outputs` that is missing at the end is a failure. Paths are relative
    to `cwd`, and that to the run's directory. Requests are those of `Target`. Raises UsageError.
    """
    if isinstance(cmd, str):
        if not cmd.strip():
            raise UsageError("command: the command is empty")
    else:
        cmd = list(cmd)
        if not cmd:
            raise UsageError("command: the command is empty")
        for member in cmd:
            _check(member)
    files = [outputs] if isinstance(outputs, (str, os.PathLike)) else list(outputs)
    for part in (cwd, stdin, stdout, *files, *(env or {}).values()):
        if part is not None:
            _check(part)
    return Command(cmd, cwd, None if env is None else dict(env), stdin, stdout, files, requests)


def _run(argv: Sequence[str], cwd: Path, env: dict[str, str], stdin: Path | None, stdout: Path | None) -> int:
    """The exit status, negative for a signal; `stdout` exists only after success."""
    beside = None if stdout is None else stdout.with_name(f".{stdout.name}.{os.getpid()}.tmp")
    try:
        with (
            open(os.devnull if stdin is None else stdin, "rb") as read,
            open(os.devnull if beside is None else beside, "wb") as written,
        ):
            status = subprocess.run(
                argv, cwd=cwd, env=env, stdin=read, stdout=None if beside is None else written, check=False
            ).returncode
        if status == 0 and beside is not None and stdout is not None:
            beside.rename(stdout)
        return status
    finally:
        if beside is not None:
            beside.unlink(missing_ok=True)


def _environment(added: Mapping[str, Any] | None) -> dict[str, str]:
    return {**os.environ, **{name: _word(value) for name, value in (added or {}).items()}}


def _check(member: object) -> None:
    if not isinstance(member, Promise):
        _word(member)


def _word(member: object) -> str:
    if isinstance(member, (str, os.PathLike)):
        return os.fsdecode(member)
    if isinstance(member, (int, float)) and not isinstance(member, bool):
        return str(member)
    kind = type(member).__name__
    raise UsageError(f"command: a {kind} cannot be part of a command, only strings, numbers and paths can")


def _shown(cmd: str | Sequence[Any]) -> str:
    text = cmd if isinstance(cmd, str) else " ".join(str(member) for member in cmd)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
