"""Statistics in the layout of the old jobTreeStats, as text and as the XML of --raw, for eyes and scripts that know it.

A slave of old is a worker here; ``wait`` is what it was there, time less clock; the median is the upper one. Right here and wrong
in the original: restarts lose nothing, memory is the peak and not twice a process's own, each slave has its own number of
targets, the total clock is that of the targets.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import UsageError
from .history import History
from .kept import Taken
from .schema import Spread
from .stats import spread, stats_of
from .words import escape

CATEGORIES = ("time", "clock", "wait", "memory")
FIELDS = ("min", "med", "ave", "max", "total")
SORTS = ("alpha", *CATEGORIES, "count")
_NEW = {"min": "min", "med": "median", "ave": "mean", "max": "max", "total": "total"}
_OLD = {"min": "min", "med": "median", "ave": "average", "max": "max", "total": "total"}
_WIDTH = 8


class Block(NamedTuple):
    """One block of the report: seconds, and KiB."""

    name: str
    number: int
    spreads: dict[str, Spread]


class Collated(NamedTuple):
    """All of it."""

    settings: dict[str, object]
    clock: float
    runtime: float
    slave: Block
    target: Block
    per_slave: Spread
    types: list[Block]


def collated(history: History) -> Collated:
    """The statistics of a run."""
    stats = stats_of(history)
    options = history.tree.options
    workers = list(history.workers.values())
    settings = {
        "batch_system": options.get("launcher") or "local",
        "default_cpu": options.get("default_cpus") or 1,
        "default_memory": int(options.get("default_memory") or 2 << 30),
        "job_time": options.get("target_time") or 0.2,
        "max_cpus": options.get("max_cpus") or "",
        "max_threads": _most(options.get("workers")),
    }
    slave = {
        "time": stats.workers.time,
        "clock": stats.workers.cpu,
        "wait": stats.workers.wait,
        "memory": _kib(stats.workers.memory),
    }
    types = [_block(name, taken) for name, taken in history.taken.items() if taken.time]
    whole = Taken()
    for taken in history.taken.values():
        whole.time += taken.time
        whole.cpu += taken.cpu
        whole.memory += taken.memory
    return Collated(
        settings, sum(whole.cpu), stats.elapsed, Block("Slave", len(workers), slave), _block("Target", whole),
        spread([worker.targets for worker in workers]), types,
    )  # fmt: skip


def _most(workers: object) -> object:
    """The upper one of the numbers of workers that were asked for."""
    return workers[-1] if isinstance(workers, list | tuple) and workers else workers or ""


def _block(name: str, taken: Taken) -> Block:
    wait = [max(0.0, time - cpu) for time, cpu in zip(taken.time, taken.cpu, strict=True)]
    spreads = {"time": spread(taken.time), "clock": spread(taken.cpu), "wait": spread(wait), "memory": _kib(spread(taken.memory))}
    return Block(name, len(taken.time), spreads)


def _kib(found: Spread) -> Spread:
    return Spread(*(getattr(found, field) / 1024 for field in ("min", "median", "mean", "max", "total")))


class Choice(NamedTuple):
    """What is to be shown, and in which order; raises UsageError where ``checked`` is called and it makes no sense."""

    categories: Sequence[str] = CATEGORIES
    sort: str = "time"
    field: str = "med"
    reverse: bool = False
    human: bool = False

    def checked(self) -> Choice:
        """The same in small letters."""
        small = self._replace(
            categories=[word.strip().lower() for word in self.categories], sort=self.sort.lower(), field=self.field.lower()
        )
        for word in small.categories:
            if word not in CATEGORIES:
                raise UsageError(f"--categories {word}: choose from {', '.join(CATEGORIES)}")
        if small.sort not in SORTS:
            raise UsageError(f"--sortCategory {self.sort}: choose from {', '.join(SORTS)}")
        if small.field not in FIELDS:
            raise UsageError(f"--sortField {self.field}: choose from {', '.join(FIELDS)}")
        return small

    def ordered(self, blocks: Sequence[Block]) -> list[Block]:
        """The blocks, ascending unless reversed."""
        return sorted(blocks, key=self._key, reverse=self.reverse)

    def _key(self, block: Block) -> tuple[float, str]:
        if self.sort == "alpha":
            return 0.0, block.name
        number = block.number if self.sort == "count" else getattr(block.spreads[self.sort], _NEW[self.field])
        return number, block.name


def text(found: Collated, choice: Choice) -> Iterator[str]:
    """The report, line by line."""
    settings, shown = found.settings, _Shown(choice)
    yield f"Batch System: {settings['batch_system']}"
    memory = shown.memory(float(str(settings["default_memory"])) / 1024)
    yield f"Default CPU: {settings['default_cpu']}  Default Memory: {memory}"
    yield f"Job Time: {settings['job_time']}  Max CPUs: {settings['max_cpus']}  Max Threads: {settings['max_threads']}"
    yield f"Total Clock: {shown.time(found.clock)}  Total Runtime: {shown.time(found.runtime)}"
    yield from _table(found.slave, shown)
    yield "Target"
    numbers = [f"{getattr(found.per_slave, _NEW[field]):.4g}" for field in FIELDS[:-1]]
    width = _width(numbers)
    yield " Slave Jobs   | " + "".join(field.rjust(width) for field in FIELDS[:-1])
    yield "              | " + "".join(number.rjust(width) for number in numbers)
    yield from list(_table(found.target, shown))[1:]
    for block in choice.ordered(found.types):
        yield from _table(block, shown)


def _table(block: Block, shown: _Shown) -> Iterator[str]:
    choice = shown.choice
    yield escape(block.name)
    first, second, third = (f"{word:>9} |" for word in ("Count" + "*" * (choice.sort == "count"), "n", str(block.number)))
    for category in choice.categories:
        cells = [shown.cell(category, getattr(block.spreads[category], _NEW[field])) for field in FIELDS]
        width = _width(cells)
        is_sorted = category == choice.sort
        titles = [field + "*" * (is_sorted and field == choice.field) for field in FIELDS]
        first += (category.capitalize() + "*" * is_sorted).rjust(width * len(FIELDS)) + " |"
        second += "".join(title.rjust(width) for title in titles) + " |"
        third += "".join(cell.rjust(width) for cell in cells) + " |"
    yield from (first, second, third)


def _width(cells: Sequence[str]) -> int:
    return max(_WIDTH, *(len(cell) + 1 for cell in cells))


class _Shown:
    """Numbers as words: plain, or for humans."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice

    def cell(self, category: str, number: float) -> str:
        return self.memory(number) if category == "memory" else self.time(number)

    def time(self, seconds: float) -> str:
        if not self.choice.human:
            return f"{seconds:.2f}"
        if seconds < 60:
            return f"{seconds:.2f}s"
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        weeks, days = divmod(days, 7)
        parts = [f"{weeks}week{'s' * (weeks > 1)}"] if weeks else []
        parts += [f"{days}day{'s' * (days > 1)}"] if days else []
        parts += [f"{hours}h"] if hours or parts else []
        return "".join([*parts, f"{minutes}m{rest}s"])

    def memory(self, kib: float) -> str:
        if not self.choice.human:
            return f"{kib:.0f}K"
        for unit in "KMGTP":
            if kib < 1024 or unit == "P":
                return f"{kib:.1f}{unit}"
            kib /= 1024
        raise AssertionError("P is the last unit")


def raw(found: Collated) -> str:
    """The XML of --raw, indented by two blanks; a name that is no name of a tag has its odd characters replaced."""
    root = ET.Element("collated_stats", {key: str(value) for key, value in found.settings.items()})
    root.set("total_run_time", f"{found.runtime:.6f}")
    root.set("total_clock", f"{found.clock:.6f}")
    _element(root, "slave", found.slave)
    target = _element(root, "target", found.target)
    for field in FIELDS[:-1]:
        target.set(f"{_OLD[field]}_number_per_slave", f"{getattr(found.per_slave, _NEW[field]):g}")
    types = ET.SubElement(root, "target_types")
    for block in found.types:
        _element(types, re.sub(r"^(?![A-Za-z_])|[^\w.-]", "_", block.name), block).set("name", escape(block.name))
    ET.indent(root, "  ")
    return ET.tostring(root, encoding="unicode")


def _element(parent: ET.Element, tag: str, block: Block) -> ET.Element:
    element = ET.SubElement(parent, tag, {"total_number": str(block.number)})
    for category in CATEGORIES:
        for field in FIELDS:
            element.set(f"{_OLD[field]}_{category}", f"{getattr(block.spreads[category], _NEW[field]):.6g}")
    return element
