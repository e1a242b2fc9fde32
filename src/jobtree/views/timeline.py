"""What the attempts of a run look like over time and below each other: bars by worker, use of cpus, spreads, recursion.

Everything is aggregated to what a screen can show, so a run of a million targets makes no larger page than one of ten thousand.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from typing import Any, NamedTuple

from .attempts import Attempts
from .history import History

MOST_BARS = 6000
MOST_LANES = 160
BUCKETS = 240
MOST_PLACES = 300
#: A part of the recursion below this share of the whole cost is not drawn by itself.
SMALLEST_SHARE = 0.002
MIXED = -1


class Bar(NamedTuple):
    """Attempts that ran one after the other in a lane: one, or some too short to be told apart.

    ``name`` is a place in the names, or MIXED; ``attempts`` of them, ``failed`` of which did; ``ready`` is when the first of
    them could have begun; times are seconds from the start of the run.
    """

    lane: int
    start: float
    end: float
    name: int
    attempts: int
    failed: int
    ready: float


class Lane(NamedTuple):
    """A row of the picture: a worker, and which of the targets that it runs side by side."""

    worker: int
    place: int


class Timeline(NamedTuple):
    """Bars in lanes; ``left_out`` workers have no lane, since there is no room."""

    lanes: list[Lane]
    bars: list[Bar]
    left_out: int


class Usage(NamedTuple):
    """Averages over ``seconds`` each, from the start of the run: targets that ran or were ready, cpus that were there."""

    seconds: float
    running: list[float]
    ready: list[float]
    busy_cpus: list[float]
    cpus: list[float]


def packed_lanes(attempts: Attempts, first: int = 0) -> Iterator[tuple[int, int, list[int]]]:
    """Attempts from the entry ``first`` on in lanes without overlap: the worker, the lane's place in it, the entries."""
    by_worker: dict[int, list[int]] = defaultdict(list)
    for entry in sorted(range(first, len(attempts)), key=attempts.started.__getitem__):
        by_worker[attempts.worker[entry]].append(entry)
    for worker in sorted(by_worker):
        for place, entries in enumerate(_packed(attempts, by_worker[worker])):
            yield worker, place, entries


def timeline_of(history: History, last: int | None = None) -> Timeline:
    """The bars of the ``last`` attempts that have ended (or of all): at most ``MOST_LANES`` lanes, about ``MOST_BARS`` bars."""
    attempts = _detail(history)
    zero = history.started_at
    first = max(0, len(attempts) - last) if last is not None else 0
    by_worker: dict[int, list[list[int]]] = defaultdict(list)
    for worker, _, entries in packed_lanes(attempts, first):
        by_worker[worker].append(entries)
    lanes: list[Lane] = []
    filled: list[list[int]] = []
    left_out = 0
    for worker, mine in by_worker.items():
        if len(lanes) + len(mine) > MOST_LANES and lanes:
            left_out += 1
            continue
        lanes += [Lane(worker, place) for place in range(len(mine))]
        filled += mine
    begin = min((attempts.started[entries[0]] for entries in filled), default=zero)
    end = max((attempts.started[entries[-1]] + attempts.wall[entries[-1]] for entries in filled), default=zero)
    shortest = (end - begin) * max(1, len(lanes)) / MOST_BARS if len(attempts) - first > MOST_BARS else 0.0
    bars = [bar for lane, entries in enumerate(filled) for bar in _bars(attempts, entries, lane, zero, shortest)]
    return Timeline(lanes, bars, left_out)


def _detail(history: History) -> Attempts:
    assert history.attempts is not None, "the history was read without its attempts"
    return history.attempts


def _packed(attempts: Attempts, entries: list[int]) -> Iterator[list[int]]:
    """The attempts of a worker, in the order of their start, in as few lanes as they need without overlap."""
    lanes: list[list[int]] = []
    free: list[tuple[float, int]] = []
    for entry in entries:
        start = attempts.started[entry]
        lane = heappop(free)[1] if free and free[0][0] <= start + 0.002 else len(lanes)
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(entry)
        heappush(free, (start + attempts.wall[entry], lane))
    yield from lanes


def _bars(attempts: Attempts, entries: list[int], lane: int, zero: float, shortest: float) -> Iterator[Bar]:
    """The bars of a lane; those that would be shorter than ``shortest`` are put together."""
    open_bar: Bar | None = None
    for entry in entries:
        start = attempts.started[entry] - zero
        failed = attempts.cause[entry] != 0
        bar = Bar(lane, start, start + attempts.wall[entry], attempts.name[entry], 1, failed, attempts.ready[entry] - zero)
        if open_bar is None:
            open_bar = bar
        elif bar.end - open_bar.start <= shortest:
            name = bar.name if bar.name == open_bar.name else MIXED
            ready = min(open_bar.ready, bar.ready)
            open_bar = Bar(lane, open_bar.start, bar.end, name, open_bar.attempts + 1, open_bar.failed + failed, ready)
        else:
            yield open_bar
            open_bar = bar
    if open_bar is not None:
        yield open_bar


def usage_of(history: History, now: float) -> Usage:
    """How much went on at each time, up to ``now`` (unix seconds)."""
    attempts = _detail(history)
    zero = history.started_at
    step = max(now - zero, 0.001) / BUCKETS
    running, ready, busy, cpus = (_Curve(step) for _ in range(4))
    asked = attempts.asked_cpus
    for entry in range(len(attempts)):
        start = attempts.started[entry] - zero
        end = start + attempts.wall[entry]
        running.add(start, end, 1.0)
        busy.add(start, end, asked[entry] or 1.0)
        ready.add(attempts.ready[entry] - zero, start, 1.0)
    for worker in history.workers.values():
        left = now if worker.left_at is None else worker.left_at
        cpus.add(worker.joined.at - zero, left - zero, worker.joined.cpus)
    return Usage(step, running.means(), ready.means(), busy.means(), cpus.means())


class _Curve:
    """The mean over each bucket of a sum of steps; adding one costs the same however long it is."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._parts = array("d", bytes(8 * (BUCKETS + 1)))  # what covers a bucket in part
        self._rises = array("d", bytes(8 * (BUCKETS + 1)))  # from this bucket on

    def add(self, start: float, end: float, amount: float) -> None:
        low, high = (min(max(at / self._step, 0.0), float(BUCKETS)) for at in (start, end))
        if high <= low:
            return
        first, last = int(low), int(high)
        if first == last:
            self._parts[first] += (high - low) * amount
            return
        self._parts[first] += (first + 1 - low) * amount
        self._parts[last] += (high - last) * amount
        self._rises[first + 1] += amount
        self._rises[last] -= amount

    def means(self) -> list[float]:
        level, found = 0.0, []
        for bucket in range(BUCKETS):
            level += self._rises[bucket]
            found.append(round(level + self._parts[bucket], 4))
        return found


def quartiles(numbers: Sequence[float]) -> list[float]:
    """Smallest, lower quartile, median, upper quartile, largest: five numbers, or none."""
    if not numbers:
        return []
    ordered = sorted(numbers)
    last = len(ordered) - 1
    return [ordered[round(last * part / 4)] for part in range(5)]


class Place(NamedTuple):
    """A place in the recursion: targets of a name below others, what they took themselves, and what lies below them."""

    name: str
    attempts: int
    seconds: float
    cpu: float
    below: list[Place]

    @property
    def total(self) -> float:
        """Seconds of it and of all below it."""
        return self.seconds + sum(place.total for place in self.below)


def recursion_of(attempts: Attempts) -> list[Place]:
    """The recursion as a tree of places, the costliest first; small ones are put together as ``...``."""
    size = len(attempts.paths)
    counts, seconds, cpu = [0] * size, [0.0] * size, [0.0] * size
    for entry, path in enumerate(attempts.path):
        counts[path] += 1
        seconds[path] += attempts.wall[entry]
        cpu[path] += attempts.cpu[entry]
    below: dict[int, list[int]] = defaultdict(list)
    totals = seconds[:]
    for path in range(size - 1, -1, -1):  # what is below comes after it
        above = attempts.paths[path].above
        below[above].append(path)
        if above >= 0:
            totals[above] += totals[path]
    least = sum(seconds) * SMALLEST_SHARE
    room = [MOST_PLACES]

    def made(paths: list[int]) -> list[Place]:
        found = []
        rest: list[int] = []
        for path in sorted(paths, key=totals.__getitem__, reverse=True):
            if room[0] <= 0 or (totals[path] < least and size > MOST_PLACES // 3):
                rest.append(path)
                continue
            room[0] -= 1
            deeper = made(below[path])  # as deep as MOST_LEVELS, not as the recursion
            found.append(Place(attempts.paths[path].name, counts[path], seconds[path], cpu[path], deeper))
        if rest:
            found.append(Place("...", sum(counts[path] for path in rest), sum(totals[path] for path in rest), 0.0, []))
        return found

    return made(below[-1])


def document_of(places: list[Place]) -> list[dict[str, Any]]:
    """The recursion as JSON."""
    return [
        {
            "name": place.name,
            "count": place.attempts,
            "own": round(place.seconds, 6),
            "cpu": round(place.cpu, 6),
            "value": round(place.total, 6),
            "children": document_of(place.below),
        }
        for place in places
    ]
