"""A run that is looked at again and again, as the documents that the dashboard's pages ask for."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any, Generic, TypeVar

from ..errors import UsageError
from .attempts import LOST
from .explain import Waiting, explain
from .failures import grouped
from .hints import Hint, hints_of
from .history import History
from .logs import Logs, Wanted, prefixed
from .report import uses_of
from .schema import SCHEMA, State, Stats, Status, to_json
from .stats import stats_of
from .status import status_of
from .timeline import timeline_of, usage_of

#: Attempts in the picture of who ran when; targets and places that one answer lists; lines of a target's log.
MOST_ATTEMPTS = 20_000
PAGE = 200
MOST_LINES = 500
_FRESH_SECONDS = 0.5


T = TypeVar("T")


class _Sparing(Generic[T]):
    """Something that is made anew when what it depends on has changed, but takes no more than a tenth of the time."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._of: int | None = None
        self._due = 0.0

    def of(self, version: int) -> T:
        """It, as it was made last or now."""
        began = time.monotonic()
        if self._made is None or (version != self._of and began >= self._due):
            self._made, self._of = self._make(), version
            ended = time.monotonic()
            self._due = ended + 10 * (ended - began)
        return self._made


class Live:
    """A tree for several readers at a time; each method looks anew, but not more often than twice a second.

    Raises UsageError for what is no tree or target, JournalDamaged for what cannot be read.
    """

    def __init__(self, tree: str) -> None:
        self.tree = tree
        self._history = History(tree, detail=True)
        self._lock = Lock()
        self._looked_at = 0.0
        self._status: Status
        self._stats = _Sparing(self._count)
        self._pictures = _Sparing(self._draw)

    def overview(self) -> dict[str, Any]:
        """State, counts, names, workers, blocks, groups of failures, and about how long it takes yet."""
        with self._lock:
            status = self._look()
            history = self._history
            stats, hints = self._stats.of(history.tree.records)
            document = to_json(status)
            document["failures"] = [
                {
                    "name": group.name, "cause": group.cause, "where": group.where, "count": len(group.failures),
                    "message": group.first.message[-2000:], "ids": [failure.id for failure in group.failures[:20]],
                    "output": group.first.output[-8000:], "host": group.first.host,
                }
                for group in grouped(status.failures)[:PAGE]
            ]  # fmt: skip
            document["blocks"] = document["blocks"][-PAGE:]
            document["workers"] = document["workers"][:PAGE]
            document["workers_total"] = len(status.workers)
            document["records"] = history.tree.records
            document["utilisation"] = stats.workers.utilisation
            document["core_seconds"] = stats.workers.core_seconds
            document["hints"] = [
                {"name": hint.name, "request": hint.request, "asked": hint.asked, "used": hint.used, "suggested": hint.suggested}
                for hint in hints
            ]
            return document

    def stats_by_name(self) -> dict[str, dict[str, Any]]:
        """What the targets of each name took, as ``stats --json`` has it."""
        with self._lock:
            self._look()
            return {one["name"]: one for one in to_json(self._stats.of(self._history.tree.records)[0])["names"]}

    def pictures(self) -> dict[str, Any]:
        """Who ran when, of late, and the use of the workers."""
        with self._lock:
            self._look()
            attempts = self._history.attempts
            assert attempts is not None
            return self._pictures.of(len(attempts))

    def _draw(self) -> dict[str, Any]:
        history, attempts, status = self._history, self._history.attempts, self._status
        assert attempts is not None
        timeline = timeline_of(history, MOST_ATTEMPTS)
        hosts = {number: f"w{number}@{worker.joined.host}" for number, worker in history.workers.items()}
        now = self._looked_at if status.state is State.RUNNING else history.last_at
        return {
            "timeline": {
                "lanes": timeline.lanes,
                "names": attempts.names,
                "workers": {lane.worker: hosts.get(lane.worker, f"w{lane.worker}") for lane in timeline.lanes},
                "bars": timeline.bars,
            },
            "usage": usage_of(history, now)._asdict(),
        }

    def _count(self) -> tuple[Stats, list[Hint]]:
        stats = stats_of(self._history)
        return stats, hints_of(uses_of(self._history, stats))

    def places(self, above: int) -> dict[str, Any]:
        """What stands below a place in the recursion (-1: at its top), each with its attempts, failures and seconds."""
        with self._lock:
            self._look()
            attempts = self._history.attempts
            assert attempts is not None
            below = [number for number, path in enumerate(attempts.paths) if path.above == above]
            wanted = dict.fromkeys(below, 0)
            counts, failed, seconds = wanted.copy(), wanted.copy(), dict.fromkeys(below, 0.0)
            for entry, path in enumerate(attempts.path):
                if path in wanted:
                    counts[path] += 1
                    seconds[path] += attempts.wall[entry]
                    failed[path] += attempts.cause[entry] != 0
            deeper = {path.above for path in attempts.paths}
            rows = [
                {
                    "path": number, "name": attempts.paths[number].name, "attempts": counts[number], "failed": failed[number],
                    "seconds": seconds[number], "deeper": number in deeper,
                }
                for number in below
            ]  # fmt: skip
            rows.sort(key=lambda row: -float(str(row["seconds"])))
            return {"schema": SCHEMA, "above": above, "places": rows[:PAGE], "more": max(0, len(rows) - PAGE)}

    def targets(self, path: int, first: int) -> dict[str, Any]:
        """Some of the attempts at a place of the recursion, from one on."""
        with self._lock:
            self._look()
            attempts = self._history.attempts
            assert attempts is not None
            rows, seen = [], 0
            for entry, at in enumerate(attempts.path):
                if at != path:
                    continue
                seen += 1
                if first < seen <= first + PAGE:
                    rows.append(self._attempt(entry))
            return {"schema": SCHEMA, "path": path, "first": first, "total": seen, "attempts": rows}

    def target(self, number: int) -> dict[str, Any]:
        """All that is known of one target, with the end of its log."""
        with self._lock:
            self._look()
            history, attempts = self._history, self._history.attempts
            assert attempts is not None
            if not 0 < number < history.tree.next_id:
                raise UsageError(f"there is no target {number}")
            entries = list(_places_of(number, attempts.target))
            told = explain(history, number, Waiting(), self._looked_at)
            name = told.name or (attempts.names[attempts.name[entries[-1]]] if entries else "")
            failure = history.failures.get(number)
            asked = next((form.requests for form in history.tree.forms() if form.name == name), {})
            document = {
                "schema": SCHEMA,
                "id": number,
                "name": name,
                "state": told.phase,
                "why": list(told.lines),
                "attempts": [self._attempt(entry) for entry in entries],
                "asked": {key: str(value) for key, value in asked.items()},
                "failure": {} if failure is None else to_json_failure(failure),
            }
        document["log"] = self.log(str(number))
        return document

    def log(self, target: str) -> list[str]:
        """The last lines of a target's log, or of all that was printed of late (an empty word)."""
        logs = Logs(self.tree, Wanted.parse(target or None), history=self._history)
        lines: list[str] = []
        for line in logs.poll_once(newest=not target):
            lines.append(prefixed(line))
            if len(lines) > 2 * MOST_LINES:
                del lines[:MOST_LINES]
        return lines[-MOST_LINES:]

    def follow(self, target: str) -> Iterator[list[str]]:
        """Lines as they come, for as long as the run goes on; empty lists in between."""
        logs = Logs(self.tree, Wanted.parse(target or None), follow=True, history=self._history)
        if not target:
            logs.skip_old()
        for batch in logs.batches():
            yield [prefixed(line) for line in batch]

    def _look(self) -> Status:
        now = time.time()
        if now - self._looked_at >= _FRESH_SECONDS:
            self._history.poll()
            self._looked_at = now
            self._status = status_of(self._history, now)
        return self._status

    def _attempt(self, entry: int) -> dict[str, Any]:
        attempts = self._history.attempts
        assert attempts is not None
        cause = attempts.causes[attempts.cause[entry]]
        worker = self._history.workers.get(attempts.worker[entry])
        return {
            "target": attempts.target[entry],
            "name": attempts.names[attempts.name[entry]],
            "cause": cause,
            "worker": f"w{attempts.worker[entry]}@{worker.joined.host}" if worker else "",
            "started": attempts.started[entry],
            "wait": None if cause == LOST else max(0.0, attempts.started[entry] - attempts.ready[entry]),
            "wall": attempts.wall[entry],
            "cpu": attempts.cpu[entry],
            "memory": attempts.memory[entry],
            "asked_memory": attempts.asked_memory[entry],
            "asked_cpus": attempts.asked_cpus[entry],
        }


def to_json_failure(failure: Any) -> dict[str, Any]:
    """A failure as ``status --json`` has it."""
    return {name: getattr(failure, name) for name in failure.__dataclass_fields__}


def _places_of(number: int, column: array[int]) -> Iterator[int]:
    """Where a number stands in a column."""
    place = -1
    try:
        while True:
            place = column.index(number, place + 1)
            yield place
    except ValueError:
        return
