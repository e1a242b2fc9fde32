"""What the supervisor knows of the attempt that a runner is at, to write its row if the runner can't."""

from __future__ import annotations

import os
import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from jobtree.errors import Cause
from jobtree.ids import FOLLOW_ON, Attempt
from jobtree.protocol.messages import FLAG_FOLLOW_ON

from .events import Printed
from .texts import LARGEST_OUTPUT, beginning_of, end_of, size_of

#: What a row keeps of `Target.log`: the last ones (bytes).
MESSAGES_BYTES = 64 * 1024
#: What a message costs beside its text.
_MESSAGE_BYTES = 20


@dataclass(slots=True)
class Underway:
    """One attempt, from the first that was heard of it to its end."""

    attempt: Attempt
    started: float
    announced: bool = False  # `Begun` was said
    heard_of: bool = False  # the state knows of it by what it created or logged
    created: int = 0
    flags: int = 0
    peak_bytes: int = 0
    messages: Messages = field(default_factory=lambda: Messages())
    logged: int = 0

    def count(self, piece: list[Any]) -> None:
        """Take note of created targets."""
        self.heard_of = True
        if piece[2] == FOLLOW_ON:
            self.flags |= FLAG_FOLLOW_ON
        else:
            self.created += len(piece[6])

    def log(self, at: float, level: str, text: str) -> Printed:
        """Take note of a line of `Target.log`, and pass it on."""
        self.heard_of = True
        self.messages.add(at, level, text)
        data = f"{level} {text}\n".encode(errors="replace")
        offset, self.logged = self.logged, self.logged + len(data)
        return Printed(self.attempt, 0, offset, data, at)

    def row(self, death: Death, spent: tuple[float, float], at: float) -> list[Any]:
        """The end of this attempt; `spent` is its user and system seconds."""
        return [
            *self.attempt, death.cause, self.created, self.flags, None, None, self.started,
            max(0.0, at - self.started), *spent, self.peak_bytes, self.messages.kept(), death.failure,
        ]  # fmt: skip


class Messages:
    """The last messages of an attempt, as its row has them."""

    def __init__(self) -> None:
        self._kept: deque[list[Any]] = deque()
        self._size = 0

    def add(self, at: float, level: str, text: str) -> None:
        """Keep a message, and no more than fit."""
        self._kept.append([at, level, text])
        self._size += _size_of_message(level, text)
        while self._size > MESSAGES_BYTES:
            self._size -= _size_of_message(*self._kept.popleft()[1:])

    def kept(self) -> list[list[Any]] | None:
        """The messages for the row; None for none."""
        return list(self._kept) or None


def _size_of_message(level: str, text: str) -> int:
    return size_of(level) + size_of(text) + _MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Death:
    """How a runner died, and what that was for the attempt that it was at."""

    cause: str
    message: str
    failure: dict[str, Any]


def death_of(status: int, host: str, output: str, ordered: tuple[str, str] | None) -> Death:
    """Make the cause of death from a wait status, unless `ordered` (cause, message) tells why we ended it."""
    cause, said = explain_status(status)
    message = said
    if ordered is not None:
        cause, message = ordered
    failure: dict[str, Any] = {
        "message": beginning_of(message),
        "host": host,
        "exit": exit_of(status),
        "output": end_of(output, LARGEST_OUTPUT),
        "type": "",
        "where": "",
    }
    return Death(cause, message, failure)


def explain_status(status: int) -> tuple[str, str]:
    """The cause of death and its words, for a wait status."""
    if os.WIFSIGNALED(status):
        return str(Cause.SIGNAL), f"killed by {signal_name(os.WTERMSIG(status))}"
    return str(Cause.EXIT), f"exited with status {os.waitstatus_to_exitcode(status)}"


def exit_of(status: int) -> int | None:
    """The exit status of a wait status, or minus the signal's number; None where there was nothing to wait for."""
    return os.waitstatus_to_exitcode(status)


def signal_name(number: int) -> str:
    """SIGSEGV and the like; real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
