"""Where in its code a runner is: asked by a signal, which faulthandler answers even from within a loop in C.

The runner writes its stacks behind the page that it shares with its supervisor (``channel``), into the same memory file.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path

from jobtree.ids import Attempt

from . import channel

#: A signal that nobody's code is likely to want for itself.
NUMBER = signal.SIGRTMAX - 2
#: How long an answer may take (seconds), and how long nothing may be added to it before it counts as whole.
PATIENCE_SECONDS, QUIET_SECONDS = 2.0, 0.1
MOST_BYTES = 256 * 1024
_OURS = f'  File "{Path(__file__).resolve().parents[1]}/'


def answer_to_signal(file: int) -> None:
    """In a runner: write the stacks of all threads to ``file``, a descriptor, whenever the signal comes."""
    faulthandler.register(NUMBER, file=file, all_threads=True, chain=False)


class Stacks:
    """The supervisor's side, for one runner; ``file`` is the memory file that both have. Times are of the caller's clock."""

    def __init__(self, file: int) -> None:
        self._file = file
        #: Of which attempt an answer is awaited.
        self.about: Attempt | None = None
        self._until = 0.0
        self._size = channel.PAGE_BYTES
        self._quiet_at = 0.0

    def ask(self, pid: int, attempt: Attempt, now: float) -> str:
        """Ask; why that can't be, if so."""
        if not _listens(pid):
            return "its process does not listen: user code has taken the signal, or it is not there yet"
        if self.about is None:
            os.ftruncate(self._file, channel.PAGE_BYTES)
            os.lseek(self._file, channel.PAGE_BYTES, os.SEEK_SET)
            self._size = channel.PAGE_BYTES
            self._until = now + PATIENCE_SECONDS
            os.kill(pid, NUMBER)
        self.about = attempt
        return ""

    def answer(self, now: float) -> str | None:
        """The stacks when they are there; None while more may come."""
        size = os.fstat(self._file).st_size
        if size != self._size:
            self._size, self._quiet_at = size, now + QUIET_SECONDS
        if now < self._until and (size == channel.PAGE_BYTES or now < self._quiet_at):
            return None
        self.about = None
        text = os.pread(self._file, MOST_BYTES, channel.PAGE_BYTES).decode(errors="replace")
        return without_ours(text) or "its process has not answered; it may be stopped, or wait in the kernel"

    def close(self) -> None:
        """Forget the file."""
        os.close(self._file)


def without_ours(text: str) -> str:
    """Stacks without the frames of the machinery."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(_OURS))


def _listens(pid: int) -> bool:
    """Whether a process has a handler for the signal, which would kill it otherwise."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (NUMBER - 1) & 1)
