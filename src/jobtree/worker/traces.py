"""Knows, in a runner, whether user code may have printed or changed the process, at next to no cost.

A flag is raised by the raw files under `sys.stdout` and `sys.stderr` when something is written through
them, and by an audit hook when a process is started, or the working directory or the environment is
changed. Only where a flag is up, or an attempt has lasted, are system calls spent on markers and on putting
things back. What writes to descriptor 1 or 2 behind Python's back within a few milliseconds raises no flag;
it is then attributed by what runs when it is read.
"""

from __future__ import annotations

import ctypes
import fcntl
import io
import logging
import os
import sys
from typing import Any, TextIO

from jobtree.ids import Attempt

from .capture import marker

#: Whatever lasts longer may have printed, by whatever means.
LASTING_SECONDS = 0.005
#: Out of the way of descriptors that user code may expect to get, or to close.
HIGH_DESCRIPTOR = 700

_STARTS = frozenset(
    {
        "subprocess.Popen",
        "os.system",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.exec",
        "pty.spawn",
    }
)
_DIRECTORY = "os.chdir"
_VARIABLES = frozenset(("os.putenv", "os.unsetenv"))


class _Flags:
    """What has happened since the last attempt's end."""

    printed = False
    moved = False
    changed = False


_flags = _Flags()


def install_streams() -> None:
    """Replace `sys.stdout` and `sys.stderr`; in the nursery, before user code can get hold of the old ones.

    Logging begins anew too: what a forked nursery has inherited is the supervisor's.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = _stream(number)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class Traces:
    """Of one runner: `stdout` and `stderr` are its pipes, by `secret` the supervisor knows its markers."""

    def __init__(self, stdout: int, stderr: int, secret: bytes, log_level: str) -> None:
        self._secret = secret
        self._pipes = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR) for pipe in (stdout, stderr)]
        for number, pipe in ((1, stdout), (2, stderr)):
            os.dup2(pipe, number)
        self._streams: tuple[TextIO, TextIO] = (sys.stdout, sys.stderr)
        self._directory = os.getcwd()
        self._umask = _umask()
        self._variables = dict(os.environ)
        self._path = list(sys.path)
        self._argv = list(sys.argv)
        self._flush_c = ctypes.CDLL(None).fflush
        _catch_logging(log_level)
        sys.addaudithook(_audit)

    def settle(self, attempt: Attempt, seconds: float) -> int:
        """After an attempt: mark where its output ends, put back what it changed; tells where markers are."""
        for number, stream in enumerate(self._streams, 1):
            try:
                stream.flush()
            except (ValueError, OSError):
                self._reopen(number)  # user code has closed it, or the descriptor below
        sys.stdout, sys.stderr = self._streams
        if sys.path != self._path:
            sys.path[:] = self._path
        if sys.argv != self._argv:
            sys.argv[:] = self._argv
        if _flags.moved:
            os.chdir(self._directory)
            _flags.moved = False
        if _flags.changed:
            self._put_variables_back()
        if not _flags.printed and seconds < LASTING_SECONDS:
            return 0
        return self._mark(attempt)

    def complain(self, text: str) -> None:
        """Print a traceback, whatever user code has made of stderr."""
        try:
            self._streams[1].write(text)
            self._streams[1].flush()
        except (ValueError, OSError):
            self._reopen(2)
            self._streams[1].write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        for stream in self._streams:
            stream.flush()

    def set_threads(self, cpus: float) -> None:
        """Have libraries that compute in threads use as many as the target was granted cpus."""
        threads = str(max(1, int(cpus)))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
            os.environ[name] = self._variables[name] = threads
        _flags.changed = False

    def set_devices(self, devices: list[str]) -> None:
        """Have CUDA see these gpus and no others."""
        os.environ["CUDA_VISIBLE_DEVICES"] = self._variables["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        _flags.changed = False

    def _mark(self, attempt: Attempt) -> int:
        self._flush_c(None)
        os.umask(self._umask)
        for number, pipe in enumerate(self._pipes, 1):
            os.write(pipe, marker(self._secret, attempt))
            os.dup2(pipe, number)  # it may have been redirected, or closed
        _flags.printed = False
        return 3

    def _put_variables_back(self) -> None:
        if os.environ != self._variables:
            for name in [name for name in os.environ if name not in self._variables]:
                del os.environ[name]
            os.environ.update(self._variables)
        _flags.changed = False

    def _reopen(self, number: int) -> None:
        out, err = self._streams
        os.dup2(self._pipes[number - 1], number)
        fresh = _stream(number)
        self._streams = (fresh, err) if number == 1 else (out, fresh)
        _flags.printed = True


class _Raw(io.FileIO):
    """Descriptor 1 or 2, noticing that it is written to."""

    def write(self, data: Any, /) -> int:
        _flags.printed = True
        return super().write(data)


def _stream(number: int) -> TextIO:
    """Line by line, so that what was printed is out when the process dies."""
    buffer = io.BufferedWriter(_Raw(number, "wb", closefd=False))
    errors = "surrogateescape" if number == 1 else "backslashreplace"
    return io.TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=True)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event in _STARTS:
        _flags.printed = True
    elif event == _DIRECTORY:
        _flags.moved = _flags.printed = True
    elif event in _VARIABLES:
        _flags.changed = True


def _catch_logging(level: str) -> None:
    """Show what is logged where nobody has configured logging: a last resort with level and name."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = _LastResort()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.lastResort = handler
    if root.level == logging.WARNING and level in logging.getLevelNamesMapping():
        root.setLevel(level)


class _LastResort(logging.StreamHandler[TextIO]):
    """Not added to the root logger, because `logging.basicConfig` in a target would then do nothing."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Whatever `sys.stderr` is when something is logged."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError("stream")


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
