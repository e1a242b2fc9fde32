"""Keeps the tables of these pages true: `python docs/tables.py` writes them anew from the code, the tests compare.

A table stands between `<!-- NAME: from PLACE -->` and `<!-- end -->`, and nobody edits it there.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SOURCE = DOCS.parent / "src" / "jobtree"

#: The rooms, in the order of the floors: title, folder, and which files of it.
ROOMS = (
    ("The ground", "", ("errors.py", "files.py", "ids.py", "resources.py")),
    ("What users see", "", ()),
    ("protocol: what goes over the wire", "protocol", ()),
    ("launchers: how workers get onto nodes", "launchers", ()),
    ("master: decides and remembers", "master", ()),
    ("master/journal: disk that matters", "master/journal", ()),
    ("worker: runs user code", "worker", ()),
    ("views: what people see of a run", "views", ()),
    ("cli: one file for each verb", "cli", ()),
)

#: Times and limits that readers of the protocol look for: module, name, what it is.
LIMITS = (
    ("protocol.messages", "PROTOCOL", "the protocol's version, in each envelope"),
    ("protocol.messages", "INLINE_LIMIT", "a larger payload is a file in TREE/blobs (bytes)"),
    ("protocol.messages", "DATA_LIMIT", "a message's data frame stays below this (bytes)"),
    ("protocol.messages", "MESSAGE_LIMIT", "what libzmq refuses to take (bytes)"),
    ("protocol.keys", "HIGH_WATER", "messages that may wait in a socket's queue"),
    ("worker.surroundings", "PIECE_BYTES", "a piece of creations is sent when it has so many bytes"),
    ("worker.surroundings", "PIECE_TARGETS", "... or so many targets"),
    ("worker.surroundings", "PIECE_SECONDS", "... or is so old (seconds)"),
    ("worker.outbox", "GATHER_LIMIT", "ends, or pieces, in one message"),
    ("worker.state", "SILENT_AFTER", "silence of the master after which a worker dials again (seconds)"),
    ("worker.state", "BEATS", "a worker's beats in that time"),
    ("worker.state", "ANSWER_WITHIN", "how long a HELLO may go unanswered, doubled each time (seconds)"),
    ("worker.state", "ANSWER_MOST", "... at most (seconds)"),
    ("worker.state", "PATIENCE_IDLE", "how long a worker that holds nothing looks for its master, at most (seconds)"),
    ("worker.state", "PATIENCE_NEVER", "how long one that has never met a master looks for it (seconds)"),
    ("worker.outbox", "LOG_WINDOW", "output on its way to the master (bytes)"),
    ("worker.outbox", "LOG_KEPT", "output that waits behind that; then the oldest is dropped (bytes)"),
    ("worker.held", "UNACKNOWLEDGED", "what an attempt may have created and not acknowledged, before `add_child` waits (bytes)"),
    ("worker.keeper", "ANNOUNCE_SECONDS", "an attempt that has run for so long is reported as STARTED (seconds)"),
    ("master.roster", "LOST_AFTER", "silence after which a worker is lost (seconds)"),
    ("master.main", "STALL", "a pause of the master's own loop that proves nothing about others (seconds)"),
    ("master.work", "POISON_AFTER", "workers lost with the same target running, before it fails"),
    ("master.server", "TURN_MESSAGES", "messages that make one turn at most"),
    ("master.server", "TURN_BYTES", "... and bytes"),
)


def phases() -> str:
    """The moves of a target, as a picture and as a table."""
    from jobtree.master.nodes import MOVES, Phase

    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> PROVISIONAL: TargetsCreated"]
    lines += [
        f"    {before.name} --> {after.name}: {why}" for (before, after), why in MOVES.items() if after is not Phase.CANCELLED
    ]
    lines += ["    DONE --> [*]", "```", "", "(Moves to CANCELLED are left out of the picture.)", ""]
    rows = [(before.name, after.name, why) for (before, after), why in MOVES.items()]
    return "\n".join(lines) + "\n" + _table(("from", "to", "moved by"), rows)


def rule() -> str:
    """The dependency rule as the test has it."""
    path = DOCS.parent / "tests" / "test_architecture.py"
    spec = spec_from_file_location("_architecture", path)
    assert spec is not None
    assert spec.loader is not None
    test = module_from_spec(spec)
    spec.loader.exec_module(test)
    floors = [(f"`{room}`", ", ".join(f"`{known}`" for known in below)) for room, below in test.FLOORS.items()]
    doors = [(f"`{world}`", ", ".join(f"`{room}`" for room in sorted(owners))) for world, owners in test.DOORS.items()]
    pure = ", ".join(f"`{room}`" for room in test.PURE)
    return "\n".join(
        [_table(("room", "may know, beside itself"), floors), _table(("outside world", "its doors"), doors), f"Pure: {pure}.\n"]
    )


def rooms() -> str:
    """Every file, by the first sentence of its docstring."""
    ground = ROOMS[0][2]
    parts = []
    for title, folder, names in ROOMS:
        paths = [SOURCE / folder / name for name in names] or sorted((SOURCE / folder).glob("*.py"))
        rows = [(f"`{path.name}`", _first_sentence(path)) for path in paths if names or path.name not in ground]
        parts.append(f"**{title}**\n\n" + _table(("file", "what it owns"), [row for row in rows if row[1]]))
    return "\n".join(parts)


def records() -> str:
    """The types of records, with their fields."""
    from jobtree.master.records import TYPES, WithPayloads

    rows = []
    for code, kind in sorted(TYPES.items()):
        named = ", ".join(f"`{field.name}`" for field in fields(kind) if field.name not in ("lengths", "data"))
        payloads = "yes" if issubclass(kind, WithPayloads) else ""
        rows.append((str(code), kind.__name__, named, payloads, _first_line(kind.__doc__ or "")))
    return _table(("code", "record", "fields", "payloads", "what it says"), rows)


def ends() -> str:
    """The row of an attempt's end."""
    found = [(value, name, what) for name, value, what in _constants("messages", "ROW_") if name != "ROW_FIELDS"]
    return _table(("field", "name", "what"), found)


def hello() -> str:
    """What a HELLO says."""
    from jobtree.protocol.codec import HELLO_FIELDS

    source = (SOURCE / "protocol" / "codec.py").read_text()
    comments = dict(re.findall(r'^    "(\w+)": .+?,(?:  # (.*))?$', source, re.MULTILINE))
    return _table(("key", "what"), [(f"`{key}`", comments.get(key, "")) for key in HELLO_FIELDS])


def limits() -> str:
    """Times and sizes."""
    rows = []
    for module, name, what in LIMITS:
        value = getattr(import_module(f"jobtree.{module}"), name)
        rows.append((f"`{module.replace('.', '/')}.py` {name}", f"{value:,}", what))
    return _table(("constant", "value", "what"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "rule": rule,
    "phases": phases,
    "rooms": rooms,
    "records": records,
    "ends": ends,
    "hello": hello,
    "limits": limits,
}

_PLACE = re.compile(r"(?P<head><!-- (?P<name>\w+): from [^>]+ -->\n)(?P<body>.*?)(?P<foot><!-- end -->)", re.DOTALL)


def renewed(text: str) -> str:
    """A page with all its tables as they must be."""
    return _PLACE.sub(lambda place: f"{place['head']}\n{TABLES[place['name']]()}\n{place['foot']}", text)


def pages() -> Iterator[Path]:
    """All pages that may have tables."""
    yield from sorted(DOCS.glob("*.md"))


def _constants(module: str, prefix: str) -> list[tuple[str, str, str]]:
    """Names, values and comments of the constants of a module of the protocol."""
    source = (SOURCE / "protocol" / f"{module}.py").read_text()
    return re.findall(rf"^({prefix}\w+): Final = (\d+)(?:  # (.*))?$", source, re.MULTILINE)


def _first_sentence(path: Path) -> str:
    return _first_line(ast.get_docstring(ast.parse(path.read_text())) or "")


def _first_line(text: str) -> str:
    """The first paragraph, as one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines) + "\n"


def main() -> int:
    """Write all tables anew."""
    for page in pages():
        text = page.read_text()
        fresh = renewed(text)
        if fresh != text:
            page.write_text(fresh)
            print(f"{page.name} is renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
