"""What ``jobtree top`` shows: a run as lines that fill a terminal, whatever its size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from .attempts import Attempts
from .failures import grouped
from .history import History
from .logs import prefixed
from .schema import LogLine, NameCounts, State, Status, WorkerView
from .words import duration, escape, plural, size

_STATE = {State.RUNNING: "bold blue", State.COMPLETE: "bold green", State.FAILED: "bold red", State.STOPPED: "bold yellow"}
_HELP = "q quit  p pause  / filter  1 names  2 workers  3 failures  4 log  0 all  ↑↓ scroll"
#: Below this width the workers stand under the names.
WIDE = 110
_KEPT_LINES = 2000


@dataclass(slots=True)
class View:
    """What the reader has chosen: ``only`` one pane (0: all), how far it is scrolled, a filter, and whether time stands still."""

    only: int = 0
    scroll: int = 0
    words: str = ""
    typing: bool = False
    paused: bool = False
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    def press(self, key: str) -> bool:
        """A key was pressed; False: it is over."""
        if self.typing:
            self._type(key)
            return True
        if key in ("q", "\x03", "\x04"):
            return False
        if key in ("p", " "):
            self.paused = not self.paused
        elif key == "/":
            self.typing, self.words = True, ""
        elif key == "\x1b":
            self.words, self.scroll = "", 0
        elif key in "01234":
            self.only, self.scroll = int(key), 0
        elif key in ("up", "k"):
            self.scroll = max(0, self.scroll - 1)
        elif key in ("down", "j"):
            self.scroll += 1
        elif key in ("pageup", "pagedown"):
            self.scroll = max(0, self.scroll + (20 if key == "pagedown" else -20))
        return True

    def _type(self, key: str) -> None:
        if key in ("\r", "\n"):
            self.typing = False
        elif key == "\x1b":
            self.typing, self.words = False, ""
        elif key in ("\x7f", "\b"):
            self.words = self.words[:-1]
        elif len(key) == 1 and key.isprintable():
            self.words += key

    def wants(self, text: str) -> bool:
        """Whether the filter lets a text through."""
        return self.words.casefold() in text.casefold()


def screen_of(history: History, status: Status, view: View, width: int, height: int, now: float) -> list[Text]:
    """Exactly ``height`` lines of at most ``width`` cells."""
    foot = _foot(view, width)
    room = max(1, height - 3)
    head = [_head(status, view), _bar(status, width)]
    names, workers = _names(history, status, view), _workers(status, view, now)
    failures, log = _failures(status, view), _log(view)
    if view.only:
        body = _pane(*[names, workers, failures, log][view.only - 1], width, room, view.scroll, from_end=view.only == 4)
    else:
        body = _all(names, workers, failures, log, width, room)
    body += [Text("")] * (room - len(body))
    return [_cut(line, width) for line in [*head, *body[:room], foot]]


Pane = tuple[str, list[Text]]


def _all(names: Pane, workers: Pane, failures: Pane, log: Pane, width: int, room: int) -> list[Text]:
    """Names beside or above the workers, then what has failed, then the log."""
    failed = min(len(failures[1]) + 1, max(3, room // 5)) if failures[1] else 0
    tall = max(len(names[1]), len(workers[1]) if width >= WIDE else 0) + 1
    upper = min(tall, max(4, (room - failed) // 2))
    if width >= WIDE:
        left = width * 3 // 5
        body = _beside(_pane(*names, left, upper), _pane(*workers, width - left - 2, upper), left, upper)
    else:
        body = _pane(*names, width, upper)
        body += _pane(*workers, width, min(len(workers[1]) + 1, max(2, (room - failed - upper) // 3)))
    body += _pane(*failures, width, failed) if failed else []
    return body + _pane(*log, width, room - len(body), from_end=True)


def _beside(left: list[Text], right: list[Text], width: int, height: int) -> list[Text]:
    lines = []
    for row in range(height):
        first = left[row] if row < len(left) else Text("")
        line = _cut(first, width)
        line.append(" " * (width - cell_len(line.plain) + 2))
        lines.append(line.append_text(right[row] if row < len(right) else Text("")))
    return lines


def _pane(title: str, lines: Sequence[Text], width: int, height: int, scroll: int = 0, *, from_end: bool = False) -> list[Text]:
    """A title and as many of the lines as there is room for; what is left out is counted in the title."""
    if height < 1:
        return []
    room = height - 1
    most = max(0, len(lines) - room)
    first = max(0, most - scroll) if from_end else min(scroll, most)
    shown = list(lines[first : first + room])
    hidden = len(lines) - len(shown)
    label = f"─ {title}{f' ({hidden:,} more)' if hidden and not from_end else ''} "
    return [Text(label + "─" * max(0, width - len(label)), style="dim"), *shown]


def _cut(line: Text, width: int) -> Text:
    cut = line.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut


def _fit(text: str, width: int) -> str:
    return set_cell_size(text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…", width)


def _head(status: Status, view: View) -> Text:
    counts = status.counts
    line = Text(str(status.state), style=_STATE[status.state])
    line.append(f"  {duration(status.elapsed)}  {counts.done:,} of {plural(counts.total, 'target')}")
    for count, word, style in (
        (counts.running, "running", "blue"),
        (counts.ready, "ready", ""),
        (counts.failed, "failed", "red"),
        (counts.blocked, "blocked", "red"),
        (status.retries, "retried", "yellow"),
    ):
        if count:
            line.append(f"  {count:,} {word}", style=style)
    if view.paused:
        line.append("  paused", style="reverse")
    return line.append(f"  {escape(status.tree)}", style="dim")


def _bar(status: Status, width: int) -> Text:
    """All targets as one line: what is done, failed, running and waiting."""
    counts, total = status.counts, max(1, status.counts.total)
    line = Text()
    used = 0
    for count, style in (
        (counts.done + counts.waiting, "green"),
        (counts.failed + counts.blocked + counts.cancelled, "red"),
        (counts.running, "blue"),
    ):
        cells = min(width - used, max(1, round(width * count / total))) if count else 0
        line.append("━" * cells, style=style)
        used += cells
    return line.append("╌" * max(0, width - used), style="dim")


def _names(history: History, status: Status, view: View) -> Pane:
    """The names, each below the one that creates it."""
    by_name = {one.name: one for one in status.names}
    levels = list(_levels(history.attempts, by_name))
    lines = []
    longest = min(40, max((cell_len(escape(name)) + 2 * level for name, level in levels), default=4))
    for name, level in levels:
        if view.wants(name):
            lines.append(_name_line(by_name[name], level, longest))
    return "targets", lines


def _name_line(one: NameCounts, level: int, longest: int) -> Text:
    counts = one.counts
    total = max(1, counts.total)
    ended = counts.done + counts.waiting
    full = int(10 * ended / total)
    line = Text(_fit("  " * level + escape(one.name), longest))
    line.append("  ")
    line.append("━" * full, style="green").append("╌" * (10 - full), style="dim")
    line.append(f" {ended / total:>4.0%} {ended:>9,} of {counts.total:,} have run")
    left = counts.ready + counts.held + counts.provisional
    told = ((counts.running, "running", "blue"), (left, "to do", ""), (counts.failed, "failed", "red"))
    for count, word, style in (*told, (counts.blocked, "blocked", "red"), (one.retries, "retried", "yellow")):
        if count:
            line.append(f"  {count:,} {word}", style=style)
    return line


def _levels(attempts: Attempts | None, known: dict[str, NameCounts]) -> Iterator[tuple[str, int]]:
    """The names in the order of the recursion, each once, with how deep it first stands."""
    below: dict[str, list[str]] = {"": []}
    seen: set[str] = set()
    for path in attempts.paths if attempts is not None else ():
        if path.name not in seen and path.name in known:
            seen.add(path.name)
            above = attempts.paths[path.above].name if attempts is not None and path.above >= 0 else ""
            below.setdefault(above, []).append(path.name)
            below.setdefault(path.name, [])
    todo = [(name, 0) for name in reversed(below[""])]
    while todo:
        name, level = todo.pop()
        yield name, level
        todo += [(child, level + 1) for child in reversed(below[name])]
    yield from ((name, 0) for name in known if name not in seen)


def _workers(status: Status, view: View, now: float) -> Pane:
    lines = [_worker_line(worker, now) for worker in status.workers if view.wants(worker.name)]
    for block in status.blocks:
        missing = block.n - sum(worker.block == block.name for worker in status.workers) - block.ended
        if block.state != "ended" and missing > 0 and status.state is State.RUNNING:
            word = "asked for" if block.state == "planned" else "pending"
            lines.append(Text(f"block {escape(block.name)}: {plural(missing, 'worker')} {word}", style="yellow"))
    return plural(len(status.workers), "worker"), lines


def _worker_line(worker: WorkerView, now: float) -> Text:
    load = min(1.0, worker.holding / worker.cpus) if worker.cpus else 0.0
    full = round(8 * load)
    line = Text(_fit(escape(worker.name), 16) + " ")
    line.append("█" * full, style="blue").append("░" * (8 - full), style="dim")
    line.append(f" {worker.holding:>4,} held  {worker.cpus:g} cpus {size(worker.memory):>6}  {worker.targets:,} ended")
    return line.append(f"  {duration(round(max(0.0, now - worker.joined_at)))}", style="dim")


def _failures(status: Status, view: View) -> Pane:
    lines = []
    for group in grouped(status.failures):
        first = group.first
        who = f"{escape(first.name)}:{first.id}"
        said = escape((first.message.strip().splitlines() or [""])[-1])
        where = f" at {escape(group.where)}" if group.where else ""
        text = f"{len(group.failures):,} × {escape(group.name)} {escape(group.cause)}: {said}{where}, e.g. {who}"
        if view.wants(text):
            lines.append(Text(text, style="red"))
    return plural(len(status.failures), "failure"), lines


def _log(view: View) -> Pane:
    styles = {"err": "yellow", "log": "cyan"}
    shown = [prefixed(line) for line in view.lines]
    lines = [
        Text(text, style=styles.get(line.stream, "")) for text, line in zip(shown, view.lines, strict=True) if view.wants(text)
    ]
    return "log", lines


def _foot(view: View, width: int) -> Text:
    if view.typing:
        return Text(f"filter: {view.words}▏", style="reverse")
    if view.words:
        return Text(f"only what has {view.words!r} (esc: all)  {_HELP}", style="reverse")
    return Text(_HELP.ljust(width), style="dim")
