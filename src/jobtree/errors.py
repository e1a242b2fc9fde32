"""The errors that users meet, each with its exit status, and what is known of a failed target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import ClassVar, NoReturn

SHOWN_PER_CAUSE = 10


class JobtreeError(Exception):
    """All errors that jobtree raises on purpose; `exit_status` is that of a command line ended by it."""

    exit_status: ClassVar[int] = 1


class UsageError(JobtreeError):
    """Something was asked for in a way that cannot work; the message is one line and says what to do."""

    exit_status = 2


class TreeMismatch(UsageError):
    """The directory given as the tree holds another run."""


class JournalDamaged(JobtreeError):
    """The journal of a tree cannot be read as far as it was once written."""

    exit_status = 3


class StorageFailed(JobtreeError):
    """The disk that holds the tree refused a write or a sync, or gave back something else."""

    exit_status = 4


class TreeLocked(JobtreeError):
    """Another master holds the tree."""

    exit_status = 5


class NoMaster(JobtreeError):
    """No master answers for a tree: it has just ended, or does not keep up."""


class Interrupted(JobtreeError):
    """The run was stopped from outside before it was complete; it can be restarted.

    ``exit_status`` is 130 for ^C, and 128 + its number for another signal.
    """

    exit_status = 130

    def __init__(self, message: str, status: int = 130) -> None:
        super().__init__(message)
        self.exit_status = status  # type: ignore[misc]  # of the class for all others


class ProtocolError(JobtreeError):
    """A peer said something that makes no sense; it is dropped and the run goes on."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(peer, reason)
        self.peer = peer
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.peer}: {self.reason}" if self.peer else self.reason


class LauncherError(JobtreeError):
    """A batch system's command failed: `argv`, exit `status` (None: it hung or did not start), last lines."""

    def __init__(self, argv: Sequence[str], status: int | None, tail: str) -> None:
        super().__init__(tuple(argv), status, tail)
        self.argv = tuple(argv)
        self.status = status
        self.tail = tail

    def __str__(self) -> str:
        ended = "did not end properly" if self.status is None else f"ended with status {self.status}"
        return f"{' '.join(self.argv)} {ended}: {self.tail.strip()}"


class Unpicklable(UsageError):
    """A target, a result or an argument cannot be pickled; the message names the attribute that cannot."""


class CommandFailed(JobtreeError):
    """A program failed: `status` is its exit status, negative for a signal, 0 if an output is missing."""

    def __init__(self, command: str, status: int, reason: str = "") -> None:
        super().__init__(command, status, reason)
        self.command = command
        self.status = status
        self.reason = reason

    @property
    def cause(self) -> Cause:
        """The cause of death of a target that ended so."""
        return Cause.SIGNAL if self.status < 0 else Cause.EXIT

    def __str__(self) -> str:
        ended = f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"
        return f"{self.command}: {self.reason or ended}"


class RemoteError(JobtreeError):
    """Stands for an exception that could not be brought here itself: its traceback's text is all there is."""


class Cause(StrEnum):
    """Why a target failed, in one word."""

    EXCEPTION = "exception"
    EXIT = "exit"
    SIGNAL = "signal"
    MEMORY = "memory"
    TIME = "time"
    WORKER_LOST = "worker-lost"
    NODE_LOST = "node-lost"
    WALLTIME = "walltime"
    CANCELLED = "cancelled"
    POISON = "poison"
    UNPICKLABLE = "unpicklable"
    IMPORT = "import"
    NO_FIT = "no-fit"


class TargetFailure:
    """What is known of one failed target.

    `id` is the decimal number that the views show, `attempts` how often it was begun, `host` the node of the
    last attempt, and `output` the last lines that it printed. `exception` is the remote exception, with its
    remote traceback; it is unpickled when first asked for, and None where no Python exception was the cause.
    """

    __slots__ = ("_exception", "attempts", "cause", "host", "id", "message", "name", "output")

    def __init__(
        self,
        name: str,
        id: int,  # noqa: A002  # the word that the views use
        attempts: int,
        cause: Cause,
        message: str,
        host: str = "",
        output: str = "",
        exception: BaseException | Callable[[], BaseException] | None = None,
    ) -> None:
        self.name = name
        self.id = id
        self.attempts = attempts
        self.cause = cause
        self.message = message
        self.host = host
        self.output = output
        self._exception = exception

    @property
    def exception(self) -> BaseException | None:
        """The exception that ended the last attempt, or None."""
        if self._exception is not None and not isinstance(self._exception, BaseException):
            self._exception = self._exception()
        return self._exception

    def __reduce__(self) -> tuple[object, ...]:
        what = (self.name, self.id, self.attempts, self.cause, self.message)
        return TargetFailure, (*what, self.host, self.output, self.exception)

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        tries = f" after {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.name}:{self.id}{where}{tries}: {_last_line(self.message)}"

    def __repr__(self) -> str:
        return f"<TargetFailure {self.cause}: {self}>"


class TargetsFailed(JobtreeError):
    """The run came to its end, but targets failed.

    `failures` is a lazy sequence with one TargetFailure for each of them. The exception of the first one is
    chained as `__cause__`, so that Python prints the user's own frames before the report.
    """

    exit_status = 1

    def __init__(self, failures: Sequence[TargetFailure], tree: str | None = None, report: str | None = None) -> None:
        super().__init__(failures, tree, report)
        self.failures = failures
        self.tree = tree
        self._words = report
        if len(failures) > 0:
            self.__cause__ = failures[0].exception

    def reraise(self, index: int = 0) -> NoReturn:
        """Raise the exception of one of the failures itself, so that a debugger's post-mortem stands in the remote frames.

        Where no Python exception was the cause, or it could not be brought here, a RemoteError with its words is raised.
        """
        failure = self.failures[index]
        raise failure.exception or RemoteError(f"{failure.cause}: {failure}")

    def __str__(self) -> str:
        return self._words or "\n".join(_report(self.failures, self.tree))

    def __reduce__(self) -> tuple[object, ...]:
        return TargetsFailed, (list(self.failures), self.tree, self._words)


def _report(failures: Sequence[TargetFailure], tree: str | None) -> Iterator[str]:
    count = len(failures)
    yield f"{count:,} target{'' if count == 1 else 's'} failed"
    counts: Counter[Cause] = Counter()
    shown: dict[Cause, list[TargetFailure]] = {}
    for failure in failures:
        counts[failure.cause] += 1
        if counts[failure.cause] <= SHOWN_PER_CAUSE:
            shown.setdefault(failure.cause, []).append(failure)
    for cause, number in counts.most_common():
        yield f"  {cause} ({number:,}):"
        yield from (f"    {failure}" for failure in shown[cause])
        if number > SHOWN_PER_CAUSE:
            yield f"    and {number - SHOWN_PER_CAUSE:,} more"
    if tree is not None:
        yield f"see: jobtree explain {tree}"


def _last_line(text: str) -> str:
    """What a traceback ends with is what a reader wants to know first."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "(no message)"
