"""The door to batch commands: one command, a time-out, and an error that says what happened."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from jobtree.errors import LauncherError

TAIL_BYTES = 2000
NEEDED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LD_LIBRARY_PATH", "TZ", "KRB5CCNAME")


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float = 60.0,
    input_text: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Run one batch command in `directory` and return what it printed on stdout.

    The command gets the C locale, so that what it prints can be parsed, and a session of its own, so that
    nothing of it is left when it hangs. Raises LauncherError when it cannot be started, ends with another
    status than 0, or is not done after `timeout_seconds` (then status is None, and what it has done is open).
    """
    process = _start(argv, environment, directory)
    try:
        out, err = process.communicate(input_text.encode(), timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill_session(process)
        _, err = process.communicate()
        raise LauncherError(argv, None, f"no answer within {timeout_seconds:g} s. {tail(err)}".strip()) from None
    except BaseException:
        _kill_session(process)
        process.wait()
        raise
    if process.returncode != 0:
        raise LauncherError(argv, process.returncode, tail(err) or tail(out))
    return out.decode(errors="replace")


def tail(output: bytes, limit_bytes: int = TAIL_BYTES) -> str:
    """The last bytes of `output` as text, beginning with a whole line where something was cut off."""
    if len(output) > limit_bytes:
        output = output[-limit_bytes:]
        output = output[output.find(b"\n") + 1 :]
    return output.decode(errors="replace").strip()


def plain_environment(*prefixes: str) -> dict[str, str]:
    """The variables that a batch command itself may need: who we are, where programs lie, and those with these prefixes.

    Nothing else goes near a batch system, since many of them show a job's environment to everybody.
    """
    return {name: value for name, value in os.environ.items() if name in NEEDED or name.startswith(prefixes or ("\0",))}


def _start(argv: Sequence[str], environment: Mapping[str, str] | None, directory: Path | None) -> subprocess.Popen[bytes]:
    given = os.environ if environment is None else environment
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**given, "LC_ALL": "C"},
            cwd=directory,
            start_new_session=True,
        )
    except OSError as error:
        raise LauncherError(argv, None, f"{error.strerror}: {error.filename or argv[0]}") from error


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended by itself between the time-out and the kill
