"""What targets print and log, as lines: of a tree at rest, or followed while it runs.

Two sources are brought together. TREE/logs has stdout and stderr, and the messages of ``Target.log`` as they came; the journal
has each attempt's messages once more with its end, on disk for certain. A message that has been shown from one is not shown from
the other: an attempt's messages carry their times, and those not later than the last one shown were shown.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from ..errors import UsageError
from ..master.logstore import LOG_STREAM, STDOUT
from ..resources import parse_time
from .history import History
from .output import OutputReader, Piece
from .presence import master_of
from .schema import LogLine
from .words import escape

#: How often a followed run is looked at, in seconds.
POLL_SECONDS = 0.25
#: Text without a newline is shown after this many seconds.
PATIENCE_SECONDS = 0.5
#: A line is cut where it gets longer.
MOST_LINE_BYTES = 64 * 1024

_STREAMS = ("log", "out", "err")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted: of a target (by ``id``, ``name`` or both), of ``failed`` ones, messages from ``level`` on.

    ``worker`` is the number of a worker; lines are not older than ``since`` and not younger than ``until`` (unix seconds).
    """

    id: int | None = None
    name: str | None = None
    failed: bool = False
    level: int | None = None
    worker: int | None = None
    since: float = 0.0
    until: float = math.inf

    @classmethod
    def parse(
        cls,
        target: str | None = None,
        *,
        failed: bool = False,
        level: str | None = None,
        worker: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
    ) -> Wanted:
        """From the words of a command line: ID, NAME or NAME:ID; w3, w3@host or 3; see ``moment``. Raises UsageError."""
        number = None
        if level is not None:
            number = logging.getLevelNamesMapping().get(level.upper())
            if number is None:
                raise UsageError(f"--level {level}: say DEBUG, INFO, WARNING, ERROR or CRITICAL")
        name, ident = target, None
        if target is not None:
            before, colon, last = target.rpartition(":")
            if last.isdecimal():
                name, ident = (before if colon else None), int(last)
        return cls(
            ident,
            name,
            failed,
            number,
            None if worker is None else _worker_number(worker),
            0.0 if since is None else moment(since, "--since"),
            math.inf if until is None else moment(until, "--until"),
        )

    @property
    def words(self) -> str:
        """The target that is wanted."""
        return ":".join(str(part) for part in (self.name, self.id) if part is not None)

    def includes(self, at: float) -> bool:
        """Whether the time of a line is wanted."""
        return self.since <= at <= self.until


def _worker_number(word: str) -> int:
    number = word.partition("@")[0].removeprefix("w")
    if not number.isdecimal():
        raise UsageError(f"--worker {word}: say its number, as in 3 or w3 (jobtree status shows them)")
    return int(number)


def moment(word: str | float, option: str, now: float | None = None) -> float:
    """Unix seconds of ``90s``, ``10m``, ``2h``, ``1d`` (so long ago), ``17:05``, ``2026-11-22 17:05``, or unix seconds.

    Raises UsageError.
    """
    if not isinstance(word, str):
        return float(word)
    now = time.time() if now is None else now
    if re.fullmatch(r"\d{9,}(\.\d*)?", word):
        return float(word)
    try:
        if re.fullmatch(r"[\d.]+[smhd]", word):
            return now - parse_time(word)
        if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", word):
            word = f"{datetime.fromtimestamp(now):%Y-%m-%d} {word:0>5}"
        return datetime.fromisoformat(word).timestamp()
    except ValueError:
        raise UsageError(f"{option} {word}: say such as 10m (ago), 17:05 or 2026-11-22T17:05") from None


class Logs:
    """The lines of a tree. Iterating ends with what is there, or, with ``follow``, when the run has ended."""

    def __init__(
        self,
        path: str,
        wanted: Wanted | None = None,
        *,
        follow: bool = False,
        detail: bool = False,
        history: History | None = None,
    ) -> None:
        """With ``history`` that one is asked, and kept up to date by whoever gave it; then only TREE/logs is read here."""
        self._wanted = wanted or Wanted()
        self._follow = follow
        self._messages: list[tuple[int, str, int, int, int, list[list[Any]]]] = []
        self._is_guest = history is not None
        self._history = history or History(path, on_messages=lambda *message: self._messages.append(message), detail=detail)
        self._output = OutputReader(self._history.files, path, self._history.directory.run_id)
        self._shown: dict[tuple[int, int], float] = {}  # by attempt: when the last message was said that was shown
        self._told: set[int] = set()  # failed targets whose output was shown
        self._joiner = _Joiner()

    def __iter__(self) -> Iterator[LogLine]:
        for lines in self.batches():
            yield from lines

    @property
    def history(self) -> History:
        """The journal beside the output; ``poll`` and ``batches`` keep it up to date."""
        return self._history

    def skip_old(self) -> None:
        """Leave out what lies in older files than the newest one: who looks at a screen wants the end."""
        self._output.skip_old()

    def poll(self) -> Iterator[LogLine]:
        """What has come since it was asked for last, without waiting for more."""
        self._read()
        return self._new(final=False)

    def poll_once(self, *, newest: bool = False) -> Iterator[LogLine]:
        """All that is there now, open lines too; with ``newest`` of the newest file only."""
        if newest:
            self.skip_old()
        self._read()
        return self._new(final=True)

    def batches(self) -> Iterator[Iterator[LogLine]]:
        """Lines as they come, batch by batch: a follower may flush its output after each."""
        while True:
            goes_on = self._goes_on()
            self._read()
            if not goes_on:
                self.refuse_unknown()
            yield self._new(final=not goes_on)
            if not goes_on or time.time() > self._wanted.until:
                return
            time.sleep(POLL_SECONDS)

    def refuse_unknown(self) -> None:
        """Raise UsageError where what is wanted has never been there."""
        wanted, tree = self._wanted, self._history.tree
        if wanted.worker is not None and wanted.worker not in self._history.workers:
            raise UsageError(f"no worker {wanted.worker} has ever joined {self._history.path}")
        if wanted.name is not None and wanted.name not in tree.tallies:
            close = get_close_matches(wanted.name, tree.tallies, 1) or sorted(tree.tallies)[:5]
            known = f"; did you mean {', '.join(close)}?" if close else ""
            raise UsageError(f"no target of {self._history.path} is called {wanted.name!r}{known}")
        if wanted.id is not None and not 0 < wanted.id < tree.next_id:
            raise UsageError(f"there is no target {wanted.id}; {self._history.path} has {tree.next_id - 1:,}, counted from 1")

    def raw(self) -> Iterator[bytes]:
        """The bytes of stdout and stderr as they were printed."""
        while True:
            goes_on = self._goes_on()
            self._read()
            if not goes_on:
                self.refuse_unknown()
            for piece in self._pieces(final=not goes_on):
                if piece.chunk.stream != LOG_STREAM:
                    yield piece.chunk.data
            if not goes_on:
                return
            yield b""
            time.sleep(POLL_SECONDS)

    def _read(self) -> None:
        if not self._is_guest:
            self._history.poll()

    def _goes_on(self) -> bool:
        """Whether more may come: until the master lets go of the tree, for it writes the last output after the last record."""
        return self._follow and master_of(self._history.directory) is not None

    def _new(self, *, final: bool) -> Iterator[LogLine]:
        for piece in self._pieces(final=final):
            yield from self._of_piece(piece)
        messages, self._messages[:] = self._messages[:], []
        for target, name, ordinal, epoch, number, said in messages:
            if self._is_wanted(target, name) and self._is_of_worker(epoch, number):
                yield from self._of_row(target, name, ordinal, (epoch, number), said)
        yield from self._joiner.overdue(time.monotonic() if not final else None)

    def _pieces(self, *, final: bool) -> Iterator[Piece]:
        if self._wanted.failed and self._follow:
            yield from self._of_newly_failed()
            return
        if self._wanted.id is not None and not self._follow:
            pieces = self._output.of_target(self._wanted.id)
        else:
            pieces = self._output.poll(final=final)
        for piece in pieces:
            chunk = piece.chunk
            of_worker = self._is_of_worker(chunk.epoch, chunk.number)
            if of_worker and self._is_wanted(chunk.target, chunk.name) and self._wanted.includes(chunk.at):
                yield piece

    def _of_newly_failed(self) -> Iterator[Piece]:
        """Nobody knows of a target that it will fail while it prints, so its output comes when it has failed."""
        for failure in list(self._history.failures.values()):
            if failure.id not in self._told and self._is_wanted(failure.id, failure.name):
                self._told.add(failure.id)
                yield from self._output.of_target(failure.id)

    def _is_of_worker(self, epoch: int, number: int) -> bool:
        wanted = self._wanted.worker
        return wanted is None or self._history.worker_of(epoch, number) == wanted

    def _is_wanted(self, target: int, name: str) -> bool:
        wanted = self._wanted
        if wanted.id is not None and wanted.id != target:
            return False
        if wanted.name is not None and wanted.name != name:
            return False
        return not wanted.failed or target in self._history.failures

    def _of_piece(self, piece: Piece) -> Iterator[LogLine]:
        chunk = piece.chunk
        if chunk.stream != LOG_STREAM:
            if self._wanted.level is None:
                yield from self._joiner.add(piece)
            return
        attempt = (chunk.epoch, chunk.number)
        if chunk.at > self._shown.get(attempt, 0.0):
            self._shown[attempt] = chunk.at
            level, _, text = chunk.data.decode(errors="replace").rstrip("\n").partition(" ")
            yield from self._message(chunk.target, chunk.name, chunk.ordinal, chunk.at, level, text)

    def _of_row(self, target: int, name: str, ordinal: int, attempt: tuple[int, int], said: list[list[Any]]) -> Iterator[LogLine]:
        last = self._shown.pop(attempt, 0.0)
        for at, level, text in said:
            if at > last and self._wanted.includes(at):
                yield from self._message(target, name, ordinal, at, level, text)
        self._shown[attempt] = max(last, max(at for at, _, _ in said))

    def _message(self, target: int, name: str, ordinal: int, at: float, level: str, text: str) -> Iterator[LogLine]:
        wanted = self._wanted.level
        if wanted is None or logging.getLevelNamesMapping().get(level, logging.INFO) >= wanted:
            for line in text.splitlines() or [""]:
                yield LogLine(at, target, name, ordinal, "log", level, line)


class _Joiner:
    """Makes lines of chunks: what has no newline yet waits for the rest of its line, but not for ever."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int, int], _Open] = {}

    def add(self, piece: Piece) -> Iterator[LogLine]:
        """The lines that a piece completes."""
        chunk = piece.chunk
        key = (chunk.epoch, chunk.number, chunk.stream)
        stream = _STREAMS[STDOUT if chunk.stream == STDOUT else 2]
        waiting = self._open.pop(key, None)
        if piece.missing:
            if waiting is not None:
                yield waiting.line()
            waiting = None
            yield LogLine(chunk.at, chunk.target, chunk.name, chunk.ordinal, stream, "", "", piece.missing)
        data = (waiting.data if waiting is not None else b"") + chunk.data
        whole, newline, rest = data.rpartition(b"\n")
        if newline:
            for line in whole.split(b"\n"):
                yield LogLine(chunk.at, chunk.target, chunk.name, chunk.ordinal, stream, "", _text(line))
        if rest:
            left = _Open(chunk.at, chunk.target, chunk.name, chunk.ordinal, stream, rest, time.monotonic())
            if len(rest) > MOST_LINE_BYTES:
                yield left.line()
            else:
                self._open[key] = left

    def overdue(self, now: float | None) -> Iterator[LogLine]:
        """What has waited for long enough; all of it at the end (None)."""
        for key, waiting in list(self._open.items()):
            if now is None or now - waiting.since >= PATIENCE_SECONDS:
                del self._open[key]
                yield waiting.line()


@dataclass(slots=True)
class _Open:
    """A line without an end."""

    at: float
    target: int
    name: str
    attempt: int
    stream: str
    data: bytes
    since: float

    def line(self) -> LogLine:
        return LogLine(self.at, self.target, self.name, self.attempt, self.stream, "", _text(self.data))


def _text(line: bytes) -> str:
    return line.decode(errors="backslashreplace").removesuffix("\r")


def prefixed(line: LogLine) -> str:
    """The line for people and for grep: ``name:id[attempt] out| text``, with nothing in it that could take hold of a terminal."""
    prefix = f"{escape(line.name)}:{line.target}[{line.attempt}] {line.stream}|"
    if line.missing:
        return f"{prefix} ... {line.missing:,} bytes were dropped ..."
    level = f"{escape(line.level)}: " if line.level else ""
    return f"{prefix} {level}{escape(line.text)}"
