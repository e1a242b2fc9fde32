"""Every attempt that has ended, in columns, for the views that draw time: who ran when on which worker, and below what."""

from __future__ import annotations

import sys
from array import array
from typing import Any, NamedTuple

from ..master.nodes import Form, Node
from ..protocol.messages import (
    ROW_CAUSE,
    ROW_MEMORY,
    ROW_STARTED,
    ROW_SYSTEM,
    ROW_USER,
    ROW_WALL,
)

#: What lies deeper in the recursion than this is counted on the last level.
MOST_LEVELS = 24
LOST = "worker-lost"


class Path(NamedTuple):
    """A place in the recursion: a name below the names of those above; ``above`` is a number of another path, or -1."""

    above: int
    name: str
    level: int


class Words(NamedTuple):
    """Where the names, the paths and the causes of other columns stand among ours."""

    names: list[int]
    paths: list[int]
    causes: list[int]


class Attempts:
    """Columns with an entry for each ended attempt: ``cause`` 0 is a good end, else a place in ``causes``.

    ``name`` and ``path`` are places in ``names`` and ``paths``; times are unix seconds and seconds, memory is bytes.
    """

    def __init__(self) -> None:
        self.target = array("q")
        self.name = array("q")
        self.path = array("q")
        self.worker = array("q")
        self.ready = array("d")
        self.started = array("d")
        self.wall = array("d")
        self.cpu = array("d")
        self.memory = array("q")
        self.asked_memory = array("q")  # 0: nothing was said
        self.asked_cpus = array("d")
        self.cause = array("q")
        self.names: list[str] = []
        self.causes: list[str] = [""]
        self.paths: list[Path] = []
        self._name_numbers: dict[str, int] = {}
        self._cause_numbers: dict[str, int] = {"": 0}
        self._path_numbers: dict[tuple[int, str], int] = {}
        self._creators: dict[int, int] = {}  # by id: the path of a target that has created others

    def __len__(self) -> int:
        return len(self.target)

    def ended(self, form: Form, path: int, ready_at: float, targets: list[int], rows: list[list[Any]], worker: int) -> None:
        """Attempts of targets of one form and path have ended."""
        count = len(rows)
        self.target.extend(targets)
        self.name.extend([self._name(form.name)] * count)
        self.asked_memory.extend([form.requests.get("memory", 0)] * count)
        self.asked_cpus.extend([form.requests.get("cpus", 0)] * count)
        self.path.extend([path] * count)
        self.worker.extend([worker] * count)
        self.ready.extend([ready_at] * count)
        self.started.extend([row[ROW_STARTED] for row in rows])
        self.wall.extend([row[ROW_WALL] for row in rows])
        self.cpu.extend([row[ROW_USER] + row[ROW_SYSTEM] for row in rows])
        self.memory.extend([row[ROW_MEMORY] for row in rows])
        self.cause.extend([self._cause(row[ROW_CAUSE]) if row[ROW_CAUSE] else 0 for row in rows])

    def learn(self, names: list[str], causes: list[str], paths: list[list[Any]]) -> Words:
        """Get to know the words that other columns use."""
        ours: list[int] = []
        for above, name, _ in paths:
            ours.append(self._path(ours[above] if above >= 0 else -1, name))
        return Words([self._name(name) for name in names], ours, [self._cause(cause) for cause in causes])

    def extend(self, words: Words, columns: dict[str, bytes]) -> None:
        """Take in columns that were written elsewhere, with their words; those that are not there yet hold zeros."""
        translated = {"name": words.names, "path": words.paths, "cause": words.causes}
        count = len(columns["target"]) // self.target.itemsize
        for name, column in vars(self).items():
            if not isinstance(column, array):
                continue
            more = array(column.typecode, columns.get(name, bytes(count * column.itemsize)))
            if sys.byteorder == "big":
                more.byteswap()
            place_of = translated.get(name)
            column.extend(more if place_of is None else [place_of[place] for place in more])

    def lost(self, node: Node, at: float) -> None:
        """An attempt went down with its worker; when it had begun is not known, so it has no length."""
        row: list[Any] = ["", "", LOST, 0, 0, None, None, at, 0.0, 0.0, 0.0, 0]
        self.ended(node.form, self.path_of(node), node.ready_at, [node.id], [row], node.worker)

    def path_of(self, node: Node) -> int:
        """The place of a target in the recursion."""
        return self.path_of_child(node.parent, node.form.name)

    def path_of_child(self, parent: Node | None, name: str) -> int:
        """The place of a target of a name below its parent."""
        unknown: list[Node] = []
        while parent is not None and parent.id not in self._creators:
            unknown.append(parent)
            parent = parent.parent
        above = self._creators[parent.id] if parent is not None else -1
        while unknown:
            node = unknown.pop()
            above = self._creators[node.id] = self._path(above, node.form.name)
        return self._path(above, name)

    def _path(self, above: int, name: str) -> int:
        level = self.paths[above].level + 1 if above >= 0 else 0
        if level >= MOST_LEVELS:
            above = self.paths[above].above
            level -= 1
        known = self._path_numbers.get((above, name))
        if known is None:
            known = self._path_numbers[above, name] = len(self.paths)
            self.paths.append(Path(above, name, level))
        return known

    def _name(self, name: str) -> int:
        known = self._name_numbers.get(name)
        if known is None:
            known = self._name_numbers[name] = len(self.names)
            self.names.append(name)
        return known

    def _cause(self, cause: str) -> int:
        known = self._cause_numbers.get(cause)
        if known is None:
            known = self._cause_numbers[cause] = len(self.causes)
            self.causes.append(cause)
        return known
