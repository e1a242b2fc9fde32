"""The ways to show the progress of a run: not at all, in lines, as JSON, as a table on a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from .snapshot import Snapshot, closing, document, names_table, sentence
from .words import aligned, duration, escape

#: Plain lines: the first one after so many seconds, then after twice as many each time, up to the longest pause.
FIRST_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 120.0
JSON_SECONDS = 1.0
MOST_NAMES = 15


class Face(Protocol):
    """One way to show a run."""

    def update(self, snapshot: Snapshot) -> None: ...

    def say(self, level: str, text: str) -> None: ...

    def close(self, snapshot: Snapshot) -> None: ...


class Silent:
    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream

    def update(self, snapshot: Snapshot) -> None:
        """Nothing."""

    def say(self, level: str, text: str) -> None:
        for line in text.splitlines() or [""]:
            print(f"jobtree: {escape(line)}", file=self._stream)

    def close(self, snapshot: Snapshot) -> None:
        """Nothing."""


class Plain(Silent):
    """A line now and then, less and less often, and only where something has changed."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        super().__init__(stream, clock)
        self._clock = clock
        self._pause = FIRST_SECONDS
        self._due = clock() + FIRST_SECONDS
        self._last = ""

    def update(self, snapshot: Snapshot) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._pause = min(self._pause * 2, LONGEST_PAUSE_SECONDS)
        self._due = now + self._pause
        line = sentence(snapshot)
        if line != self._last:
            self._last = line
            self.say("INFO", f"{duration(snapshot.elapsed)}: {line}")

    def close(self, snapshot: Snapshot) -> None:
        for line in closing(snapshot):
            self.say("INFO", line)


class Json:
    """A line of JSON a second, one for each message, one at the end with ``"final": true``."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._due = 0.0

    def update(self, snapshot: Snapshot) -> None:
        now = self._clock()
        if now >= self._due:
            self._due = now + JSON_SECONDS
            self._write(document(snapshot))

    def say(self, level: str, text: str) -> None:
        self._write({"schema": 1, "level": level, "message": text})

    def close(self, snapshot: Snapshot) -> None:
        self._write({**document(snapshot), "final": True})

    def _write(self, document: dict[str, Any]) -> None:
        print(json.dumps(document), file=self._stream)


class Rich:
    """A table that is drawn anew in its place."""

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        # No thread, no hands on the user's stdout: drawn when the master's loop says so.
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._started = False

    def update(self, snapshot: Snapshot) -> None:
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(self._drawn(snapshot), refresh=True)

    def say(self, level: str, text: str) -> None:
        from rich.text import Text

        style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}.get(level, "dim")
        for line in text.splitlines() or [""]:
            self._console.print(Text(f"jobtree: {escape(line)}", style=style))

    def close(self, snapshot: Snapshot) -> None:
        if self._started:
            self._live.stop()
            self._started = False
        level = "INFO" if snapshot.state == "complete" else "WARNING"
        for line in closing(snapshot):
            self.say(level, line)

    def _drawn(self, snapshot: Snapshot) -> Any:
        from rich.console import Group
        from rich.text import Text

        # A live display that is higher than the screen can't be drawn in its place.
        room = max(1, min(MOST_NAMES, self._console.size.height - 5))
        width = self._console.size.width
        lines = [*aligned(names_table(snapshot, room)), f"{duration(snapshot.elapsed)}  {sentence(snapshot)}"]
        return Group(*(Text(line[: width - 1], no_wrap=True) for line in lines))
