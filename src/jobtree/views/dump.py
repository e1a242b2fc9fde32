"""A journal as documents: each record by its name and fields. Payloads are shown by their lengths and never opened."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from ..master import records as r
from ..master.journal.directory import Directory
from ..master.journal.files import Files
from ..master.journal.frames import Head
from ..master.journal.reader import Reader
from ..protocol import messages

#: The names of a row's fields, from the constants that number them.
ROW = [
    name.removeprefix("ROW_").lower()
    for name, _ in sorted(
        ((name, place) for name, place in vars(messages).items() if name.startswith("ROW_") and name != "ROW_FIELDS"),
        key=lambda pair: int(pair[1]),
    )
]


def documents(files: Files, directory: Directory) -> Iterator[dict[str, Any]]:
    """A document for each item of the last snapshot, and for each record after it, in order.

    Raises JournalDamaged when it comes to the first bad spot.
    """
    reader = Reader(files, directory)
    if reader.base is not None:
        for kind, *values in reader.base.state():
            yield {"snapshot": reader.base.head.name, "item": kind, "values": _plain(values)}
    for frame in reader:
        for position, head in enumerate(frame.heads):
            place = {"record": frame.first_record + position, "frame": frame.sequence}
            yield {**place, "segment": str(frame.segment), "offset": frame.offset, **described(head)}


def described(head: Head) -> dict[str, Any]:
    """A record's type, fields and lengths of payloads; a type of a newer version by its number."""
    kind = r.TYPES.get(head[0])
    if kind is None:
        return {"type": head[0], "fields": _plain(head[2:])}
    names = [field.name for field in dataclasses.fields(kind) if field.name not in ("lengths", "data")]
    if len(names) != len(head) - 2:
        return {"type": head[0], "fields": _plain(head[2:])}
    fields = {name: _plain(value) for name, value in zip(names, head[2:], strict=True)}
    if "at" in fields and isinstance(fields["at"], float):
        fields["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fields["at"]))
    if "rows" in fields:
        fields["rows"] = [dict(zip(ROW, row, strict=False)) for row in fields["rows"]]
    return {"type": kind.__name__, **fields, **({"payload_bytes": head[1]} if head[1] else {})}


def _plain(value: Any) -> Any:
    """The value in words of JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return f"<{len(value):,} bytes>" if isinstance(value, bytes) else value
