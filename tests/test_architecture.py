"""The dependency rule and the pure rooms, read from the imports of every file (docs/architecture.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import jobtree

SOURCE = Path(jobtree.__file__).parent

#: Rooms that compute, and do nothing else: time and chance come in as arguments.
PURE = (
    "errors", "ids", "resources", "protocol.codec", "protocol.messages", "protocol.session", "launchers.base",
    "launchers.settings", "master.agenda", "master.audit", "master.choices", "master.claims", "master.contacts",
    "master.control", "master.core", "master.counters", "master.demand", "master.desk", "master.dispatch",
    "master.effects", "master.events",
    "master.ledger", "master.nodes", "master.pools", "master.promises", "master.records", "master.roster", "master.runs",
    "master.scaling", "master.scheduler",
    "master.snapshot", "master.starving", "master.state", "master.tree", "master.upward", "master.verdicts",
    "master.withdrawal", "master.work", "master.journal.frames", "master.journal.segments", "worker.devices", "worker.effects",
    "worker.events", "worker.held", "worker.letters", "worker.outbox", "worker.slots", "worker.state",
)  # fmt: skip
#: What a pure room needs of the standard library, and msgpack.
COMPUTING = frozenset({
    "__future__", "abc", "array", "bisect", "collections", "dataclasses", "difflib", "enum", "functools", "heapq", "itertools",
    "json", "math", "msgpack", "operator", "re", "struct", "typing", "zlib",
})  # fmt: skip
#: Doors: who may open which of the outside worlds.
DOORS = {
    "zmq": {"protocol.caller", "protocol.client", "protocol.keys", "protocol.knock", "master.server", "worker.connection"},
    "subprocess": {
        "_child_master",
        "_command",
        "master.compaction",
        "launchers.local",
        "launchers.shell",
        "scripttree._programs",
    },
    "pickle": {"protocol.calls", "protocol.payload", "protocol.tracebacks"},
    "cloudpickle": {"protocol.payload"},
    "tblib": {"protocol.payload", "protocol.tracebacks"},
}
#: Who may use threads, and of them only the lock.
THREADS = {
    "master.fleet",
    "master.main",
    "master.sweeper",
    "launchers.local",
    "worker.processes",
    "worker.surroundings",
    "_recording",
    "_async",
    "_child_master",
    "_client",
    "_cluster",
    "_executor",
    "_futures",
    "_map",
    "_plain_call",
    "views.dashboard",
    "views.live",
    "scripttree._acid",
}
#: Each floor may know the floors named, and itself.
GROUND = ("errors", "files", "ids", "resources")
FLOORS = {
    "protocol": GROUND,
    "launchers": GROUND,
    "master": (*GROUND, "protocol", "launchers"),
    # A runner runs user code, so it has the public face of a target.
    "worker": (*GROUND, "protocol", "_context", "_function", "_promise", "_recording", "_target", "_command"),
}
MODULES = sorted(path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".") for path in SOURCE.rglob("*.py"))


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse((SOURCE / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """The modules that a module imports, anywhere in it and for its types too; ours without the package's name."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _plain(alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(module, node)


def _from(module: str, node: ast.ImportFrom) -> Iterator[str]:
    base = (node.module or "").split(".") if node.module else []
    if node.level:
        base = [*module.split(".")[: -node.level], *base]
    elif base[:1] == ["jobtree"]:
        base = base[1:]
    else:
        yield ".".join(base)
        return
    for alias in node.names:
        whole = ".".join([*base, alias.name])
        yield whole if whole in MODULES or f"{whole}.__init__" in MODULES else (".".join(base) or "__init__")


def _plain(name: str) -> str:
    return name.removeprefix("jobtree.") if name.startswith("jobtree.") else name


def is_ours(name: str) -> bool:
    return name in MODULES or f"{name}.__init__" in MODULES


@pytest.mark.parametrize("module", PURE)
def test_a_pure_room_imports_only_pure_rooms_and_what_computes(module: str) -> None:
    for name in imports_of(module):
        if name in ("errors", "master.journal", "protocol", "master") or name in PURE:
            continue
        assert name.split(".")[0] in COMPUTING, f"{module} is a pure room, and imports {name}"


@pytest.mark.parametrize("module", PURE)
def test_a_pure_room_opens_no_file_and_prints_nothing(module: str) -> None:
    called = {
        node.func.id for node in ast.walk(tree_of(module)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] in FLOORS])
def test_a_room_knows_only_the_floors_below_it(module: str) -> None:
    floor = module.split(".")[0]
    for name in imports_of(module):
        if is_ours(name) and name.split(".")[0] != floor:
            allowed = name.split(".")[0] in FLOORS[floor] or (name == "__init__" and module in ("worker.main", "worker.runner"))
            assert allowed, f"{module} imports {name}, and may know {FLOORS[floor]} only"


def test_master_and_worker_never_import_each_other() -> None:
    for module in MODULES:
        for name in imports_of(module):
            if module.startswith("master."):
                assert not name.startswith("worker"), f"{module} imports {name}"
            if module.startswith("worker."):
                assert not name.startswith("master"), f"{module} imports {name}"


def test_each_outside_world_has_its_doors_and_no_others() -> None:
    for module in MODULES:
        for name in imports_of(module):
            top = name.split(".")[0]
            assert module in DOORS.get(top, {module}), f"{module} imports {name}; the doors to it are {sorted(DOORS[top])}"
            if top in ("threading", "concurrent", "multiprocessing", "asyncio"):
                assert module in THREADS, f"{module} imports {name}"


def test_the_master_and_the_views_never_reach_the_pickles() -> None:
    """Whoever of them imports what, and through how many rooms: payloads are opened by runners and by the user's own process."""
    for module in MODULES:
        if module.split(".")[0] in ("master", "launchers") or module in (
            "protocol.codec",
            "protocol.messages",
            "protocol.session",
        ):
            assert not _reached_from(module) & {"protocol.calls", "protocol.payload", "protocol.tracebacks"}, (
                f"{module} can unpickle"
            )


def _reached_from(module: str) -> set[str]:
    reached: set[str] = set()
    todo = [module]
    while todo:
        for name in imports_of(todo.pop()):
            if is_ours(name) and name not in reached and name != "__init__":
                reached.add(name)
                todo.append(name if name in MODULES else f"{name}.__init__")
    return reached


def test_there_is_no_circle_of_rooms() -> None:
    """Imports at the top of a file, those for types too, lead downward only."""
    below = {module: {name for name in _at_the_top(module) if name in MODULES} for module in MODULES}
    while below:
        lowest = {module for module, known in below.items() if not known & below.keys()}
        assert lowest, f"these import each other in a circle: {sorted(below)}"
        below = {module: known for module, known in below.items() if module not in lowest}


def _at_the_top(module: str) -> Iterator[str]:
    for node in tree_of(module).body:
        if isinstance(node, ast.Import):
            yield from (_plain(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(module, node)


def test_no_public_name_is_the_name_of_a_module() -> None:
    """Importing ``jobtree.target`` as a module must not shadow the decorator."""
    assert not set(jobtree.__all__) & {module for module in MODULES if "." not in module}


def test_every_file_says_first_what_it_owns() -> None:
    silent = [module for module in MODULES if not ast.get_docstring(tree_of(module))]
    assert not silent
