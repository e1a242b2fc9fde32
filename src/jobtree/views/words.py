"""Small words for people: counts, durations, sizes, and tables that fit where they are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

from ..resources import format_size, format_time

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Column(NamedTuple):
    """A column's title, and whether its cells stand at the left."""

    title: str
    left: bool


class Table(NamedTuple):
    """Rows of cells. Drawn by rich on a terminal, as aligned text elsewhere."""

    columns: list[Column]
    rows: list[list[str]]


def columns(*titles: str) -> list[Column]:
    """Columns of numbers, or of words where the title begins with ``<``."""
    return [Column(title.removeprefix("<"), title.startswith("<")) for title in titles]


def aligned(table: Table) -> Iterator[str]:
    """The table as plain lines; columns are two blanks apart."""
    titles = [column.title for column in table.columns]
    widths = [max(len(cell) for cell in cells) for cells in zip(titles, *table.rows, strict=True)]
    for row in [titles, *table.rows]:
        cells = [
            cell.ljust(width) if column.left else cell.rjust(width)
            for cell, width, column in zip(row, widths, table.columns, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def show(parts: Sequence[str | Table], out: TextIO) -> None:
    """Print lines and tables, with rich on a terminal."""
    if out.isatty():
        _show_richly(parts, out)
        return
    for part in parts:
        for line in aligned(part) if isinstance(part, Table) else (part,):
            print(line, file=out)


def _show_richly(parts: Sequence[str | Table], out: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(file=out, highlight=False, markup=False, emoji=False)
    for part in parts:
        if isinstance(part, str):
            console.print(Text(part), soft_wrap=True)  # the terminal breaks lines so that they can be copied whole
            continue
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in part.columns:
            drawn.add_column(Text(column.title), justify="left" if column.left else "right", overflow="fold")
        for row in part.rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn)


def escape(text: str) -> str:
    """The text without anything that could take hold of a terminal: controls as ``\\x1b``; tabs stay."""
    return _CONTROL.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """``1 target``, ``2,000 targets``."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


def duration(seconds: float) -> str:
    """Seconds for people, as ``1h5m``, ``0.12s`` or ``80µs``."""
    if 0 < seconds < 0.0005:
        return f"{max(1, round(seconds * 1e6))}µs"
    return format_time(round(seconds, 1) if seconds >= 1 else round(seconds, 3))


def size(count: float) -> str:
    """Bytes for people, as ``1.5G``."""
    return format_size(count)


def of_gaps(gaps: Sequence[str]) -> Iterator[str]:
    """What is said where parts of the history can't be read."""
    if gaps:
        yield (
            f"  {plural(len(gaps), 'part')} of the history can't be read ({escape(gaps[0])}): times and messages of targets that "
            "finished there are not counted; the run itself needs none of it"
        )
