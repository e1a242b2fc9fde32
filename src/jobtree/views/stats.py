"""What the targets and the workers of a run took: counts and spreads, as tables in the layout of jobTreeStats, JSON or CSV."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..errors import UsageError
from .history import History
from .kept import Taken, WorkerHistory
from .presence import master_of
from .schema import NameStats, Spread, State, Stats, WorkerStats
from .status import state_of
from .words import Column, Table, duration, escape, of_gaps, size

CATEGORIES = ("time", "cpu", "wait", "memory")
FIELDS = ("min", "median", "mean", "max", "total")

_COUNTS = ("count", "retries", "failed", "lost")
_SINGLE = (*_COUNTS, "wasted", "asked_memory", "memory_efficiency", "cpu_efficiency")

#: jobTreeStats called cpu time so.
_OLD_WORDS = {"clock": "cpu"}

Number = float | int


def stats_of(history: History, now: float | None = None) -> Stats:
    """The statistics of a run, over all its restarts; ``now`` in unix seconds is for one that still runs."""
    state, _ = state_of(history, master_of(history.directory))
    elapsed = history.elapsed
    end = history.last_at
    if state is State.RUNNING:
        end = max(end, time.time() if now is None else now)
        elapsed += end - history.last_at
    names = tuple(_name(name, taken) for name, taken in history.taken.items())
    return Stats(
        tree=history.path,
        state=state,
        elapsed=elapsed,
        workers=_workers(list(history.workers.values()), end),
        targets=_name("all targets", _sum(history.taken.values())),
        names=names,
        gaps=tuple(history.gaps),
    )


def spread(numbers: Sequence[Number] | array[float] | array[int]) -> Spread:
    """Smallest, upper median, mean, largest, sum; zeros where there are none."""
    if not numbers:
        return Spread()
    ordered = sorted(numbers)
    total = sum(ordered)
    return Spread(ordered[0], ordered[len(ordered) // 2], total / len(ordered), ordered[-1], total)


def _name(name: str, taken: Taken) -> NameStats:
    return NameStats(
        name=name,
        count=len(taken.time),
        retries=taken.retries,
        failed=taken.failed,
        lost=taken.lost,
        wasted=taken.wasted,
        time=spread(taken.time),
        cpu=spread(taken.cpu),
        wait=spread(taken.wait),
        memory=spread(taken.memory),
        asked_memory=taken.asked_memory,
        memory_efficiency=max(taken.memory) / taken.asked_memory if taken.asked_memory and taken.memory else None,
        cpu_efficiency=sum(taken.cpu) / taken.paid if taken.paid else None,
    )


def _sum(parts: Iterable[Taken]) -> Taken:
    whole = Taken()
    for taken in parts:
        whole.time += taken.time
        whole.cpu += taken.cpu
        whole.wait += taken.wait
        whole.memory += taken.memory
        whole.retries += taken.retries
        whole.failed += taken.failed
        whole.lost += taken.lost
        whole.wasted += taken.wasted
        whole.paid += taken.paid
    return whole


def _workers(workers: list[WorkerHistory], end: float) -> WorkerStats:
    times = [max(0.0, (end if worker.left_at is None else worker.left_at) - worker.joined.at) for worker in workers]
    paid = sum(seconds * worker.joined.cpus for seconds, worker in zip(times, workers, strict=True))
    busy = sum(worker.paid for worker in workers)
    return WorkerStats(
        count=len(workers),
        utilisation=min(1.0, busy / paid) if paid else 0.0,
        time=spread(times),
        cpu=spread([worker.cpu for worker in workers]),
        wait=spread([_idle(seconds, worker) for seconds, worker in zip(times, workers, strict=True)]),
        memory=spread([worker.memory for worker in workers]),
        targets=spread([worker.targets for worker in workers]),
        core_seconds=paid,
    )


def _idle(seconds: float, worker: WorkerHistory) -> float:
    return max(0.0, seconds - worker.paid / max(worker.joined.cpus, 1.0))


# -- in words -----------------------------------------------------------------------------------------------------------


def ordered(stats: Stats, key: str, *, descending: bool = True) -> list[NameStats]:
    """The names by ``name``, a count, or such as ``time.total`` (a category alone means its median); raises UsageError.

    The largest number comes first, and the first name of the alphabet, unless ``descending`` is False.
    """
    category, _, part = key.partition(".")
    if category == "name" and not part:
        return sorted(stats.names, key=lambda one: one.name, reverse=not descending)
    value: Callable[[NameStats], Number]
    if category in _SINGLE and not part:
        value = lambda one: getattr(one, category) or 0  # noqa: E731
    elif category in CATEGORIES and (part or "median") in FIELDS:
        value = lambda one: getattr(getattr(one, category), part or "median")  # noqa: E731
    else:
        known = ", ".join(("name", *_SINGLE, *CATEGORIES))
        raise UsageError(f"--sort {key}: sort by {known}, or by such as time.total ({', '.join(FIELDS)})")
    return sorted(stats.names, key=value, reverse=descending)


def categories_of(words: str) -> tuple[str, ...]:
    """The categories of a list such as ``time,memory``, in the usual order; raises UsageError."""
    wanted = {_OLD_WORDS.get(word, word) for word in words.lower().replace(" ", "").split(",")}
    if not wanted <= set(CATEGORIES):
        raise UsageError(f"--categories {words}: choose from {', '.join(CATEGORIES)}")
    return tuple(name for name in CATEGORIES if name in wanted)


def lines(
    stats: Stats,
    names: Sequence[NameStats],
    *,
    human: bool,
    wide: bool = True,
    categories: Sequence[str] = CATEGORIES,
) -> Iterator[str | Table]:
    """Tables for the workers, all targets and each name; ``wide`` puts the categories side by side."""
    workers = stats.workers
    shown = duration(stats.elapsed) if human else f"{stats.elapsed:.2f}"
    yield f"{escape(stats.tree)}: {stats.state}, total runtime {shown}, utilisation of workers {workers.utilisation:.0%}"
    yield from of_gaps(stats.gaps)
    yield ""
    yield "Workers"
    yield from _tables(workers.count, workers, human, wide, categories)
    targets = [f"{getattr(workers.targets, part):.4g}" for part in FIELDS]
    yield Table([Column("targets of a worker", True), *(Column(part, False) for part in FIELDS)], [["", *targets]])
    for one in (stats.targets, *names):
        yield ""
        title = "Targets" if one is stats.targets else escape(one.name)
        yield f"{title}{_ups_and_downs(one, human)}"
        yield from _tables(one.count, one, human, wide, categories)


def _ups_and_downs(one: NameStats, human: bool) -> str:
    told = [f"{getattr(one, word):,} {word}" for word in ("retries", "failed", "lost") if getattr(one, word)]
    if one.wasted:
        told.append(f"{duration(one.wasted) if human else f'{one.wasted:.2f}'} wasted")
    if one.memory_efficiency is not None:
        told.append(f"asked {size(one.asked_memory)}, {one.memory_efficiency:.0%} of it used")
    if one.cpu_efficiency is not None and one.time.total >= 1:
        told.append(f"cpus {one.cpu_efficiency:.0%} busy")
    return f" ({', '.join(told)})" if told else ""


def _tables(count: int, one: NameStats | WorkerStats, human: bool, wide: bool, categories: Sequence[str]) -> Iterator[Table]:
    """The count, and under each category its five numbers; on a narrow screen the categories below each other."""
    formats: dict[str, Callable[[float], str]] = dict.fromkeys(CATEGORIES, duration if human else _seconds)
    formats["memory"] = size if human else _kibibytes
    cells = {name: [formats[name](getattr(getattr(one, name), part)) for part in FIELDS] for name in categories}
    if wide:
        titles = [Column(f"{name} {part}" if part == "min" else part, False) for name in categories for part in FIELDS]
        yield Table([Column("count", False), *titles], [[f"{count:,}", *(cell for name in categories for cell in cells[name])]])
        return
    titles = [Column(part, False) for part in FIELDS]
    yield Table([Column("count", True), Column("", True), *titles], [
        [f"{count:,}" if name == categories[0] else "", name, *cells[name]] for name in categories
    ])  # fmt: skip


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}"


def _kibibytes(count: float) -> str:
    """As jobTreeStats wrote memory without --human."""
    return f"{count / 1024:.0f}K"


def csv_rows(stats: Stats, names: Sequence[NameStats]) -> Iterator[list[object]]:
    """A row of titles, then one for the workers, one for all targets, one a name; seconds and bytes."""
    singles = _SINGLE[len(_COUNTS) :]
    yield ["kind", "name", *_COUNTS, *(f"{category}_{part}" for category in CATEGORIES for part in FIELDS), *singles]
    workers = stats.workers
    yield ["workers", "", workers.count, 0, 0, 0, *_numbers(workers), *[""] * len(singles)]
    for kind, one in [("targets", stats.targets), *(("name", name) for name in names)]:
        name = one.name if kind == "name" else ""
        rest = ["" if (value := getattr(one, word)) is None else value for word in singles]
        yield [kind, name, one.count, one.retries, one.failed, one.lost, *_numbers(one), *rest]


def _numbers(one: NameStats | WorkerStats) -> Iterator[float]:
    for category in CATEGORIES:
        for part in FIELDS:
            yield getattr(getattr(one, category), part)
