"""Shell commands as old scripts run them: a status other than 0 is a RuntimeError."""

from __future__ import annotations

import subprocess
import sys
from typing import AnyStr

from ._logs import logger


def system(command: str) -> int:
    """Run a shell command; what it prints goes where this process prints. Returns 0."""
    logger.debug("Running the command: %s", command)
    return _refuse_failure(command, call(command))


def popen(command: str, tempFile: str) -> int:
    """Run a shell command with its output in a file. Returns 0."""
    logger.debug("Running the command: %s", command)
    with open(tempFile, "wb") as output:
        return _refuse_failure(command, subprocess.call(command, shell=True, stdout=output))


def popenCatch(command: str, stdinString: AnyStr | None = None) -> str:
    """Run a shell command with this text as its input; returns its output."""
    logger.debug("Running the command: %s", command)
    given = stdinString.encode() if isinstance(stdinString, str) else stdinString
    _flush()
    done = subprocess.run(command, shell=True, input=given, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise RuntimeError(
            f"Command: {command} with stdin string '{stdinString!r}' exited with non-zero status {done.returncode}"
        )
    return done.stdout.decode(errors="surrogateescape")


def popenPush(command: str, stdinString: AnyStr | None = None) -> None:
    """Run a shell command with this text as its input."""
    if stdinString is None:
        system(command)
        return
    given = stdinString.encode() if isinstance(stdinString, str) else stdinString
    _flush()
    status = subprocess.run(command, shell=True, input=given, check=False).returncode
    _refuse_failure(command, status)


def spawnDaemon(command: str) -> int:
    """Start a shell command that goes on by itself, in a session of its own; it has to be ended by hand. Returns 0."""
    null = subprocess.DEVNULL
    subprocess.Popen(
        ["/bin/sh", "-c", f"({command}) &"], stdin=null, stdout=null, stderr=null, start_new_session=True, close_fds=True
    ).wait()
    return 0


def call(command: str) -> int:
    """Run a shell command; its exit status, negative for a signal."""
    _flush()
    return subprocess.call(command, shell=True)


def _refuse_failure(command: str, status: int) -> int:
    if status != 0:
        raise RuntimeError(f"Command: {command} exited with non-zero status {status}")
    return status


def _flush() -> None:
    """So that lines come out in the order in which they were printed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
