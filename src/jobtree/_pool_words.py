"""Further pools as users write them: --pool 'name=big,memory=256G,max=4', or [[pool]] in a TOML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobtree import _option_values as parse
from jobtree._option_values import Workers
from jobtree.errors import UsageError

#: Workers of a pool that does not say how many.
USUAL_MOST = 100


@dataclass(frozen=True)
class PoolWords:
    """One pool as it was asked for; None is what was left to the run's own options."""

    name: str
    launcher: str | None = None
    cpus: float | None = None
    memory: int | None = None
    gpus: int = 0
    time: float | None = None
    least: int = 0
    most: int = USUAL_MOST
    queue: str | None = None
    account: str | None = None
    args: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # of its launcher, such as gridengine_pe

    @property
    def workers(self) -> Workers:
        """How many there may be."""
        return Workers(self.least, self.most)


READERS = {
    "name": parse.text, "launcher": parse.launcher, "cpus": parse.cpus, "memory": parse.size, "gpus": parse.count,
    "time": parse.time, "min": parse.count, "max": parse.count, "queue": parse.text, "account": parse.text, "args": parse.words,
}  # fmt: skip
FIELDS = {"min": "least", "max": "most"}


def pools(value: Any, what: str) -> tuple[str, ...]:
    """Each pool in one line, as --pool takes it; of lines, tables, or a list of them. Raises UsageError."""
    some = value if isinstance(value, (list, tuple)) else [value]
    flat = [one for part in some for one in (part if isinstance(part, (list, tuple)) else [part])]
    lines = tuple(one if isinstance(one, str) else _line(one, what) for one in flat)
    read_all(lines, what)
    return lines


def read_all(lines: tuple[str, ...], what: str = "pool") -> list[PoolWords]:
    """The pools; UsageError for a name that comes twice."""
    found = [read(line, what) for line in lines]
    names = [pool.name for pool in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{what}: there are two pools called {name!r}")
    return found


def read(line: str, what: str = "pool") -> PoolWords:
    """One pool, from a line like name=big,memory=256G,cpus=32,max=4,queue=himem."""
    told: dict[str, str] = {}
    for word in re.split(r",(?=\s*[\w-]+=)", line.strip()):
        key, equals, value = word.partition("=")
        if not equals or not value.strip():
            raise UsageError(f"{what}: {word!r} is not KEY=VALUE; a pool looks like 'name=big,memory=256G,max=4'")
        told[key.strip().replace("-", "_")] = value.strip()
    return _made(told, what)


def _line(table: Any, what: str) -> str:
    if not isinstance(table, Mapping):
        raise UsageError(f"{what}: {table!r} is neither a line nor a table that describes a pool")
    words = [f"{key}={' '.join(value) if isinstance(value, list) else value}" for key, value in table.items()]
    return ",".join(words)


def _made(told: Mapping[str, str], what: str) -> PoolWords:
    from jobtree.options import ROWS, row_of

    values: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for key, value in told.items():
        where = f"{what}: {key}"
        if key in READERS:
            values[FIELDS.get(key, key)] = READERS[key](value, where)
        elif key not in ROWS and (row := row_of(key)) is not None:
            settings[key] = row.parse(value, where)
        else:
            raise UsageError(f"{what}: a pool has no {key!r}; it has {', '.join(READERS)}, and the settings of its launcher")
    name = values.get("name", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UsageError(f"{what}: a pool needs a name of letters, digits, - and _: name=big")
    made = PoolWords(**values, settings=settings)
    if made.least > made.most:
        raise UsageError(f"{what}: the pool {name} cannot have at least {made.least} and at most {made.most} workers")
    return made
