"""`jobtree stats`: what targets and workers took."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, print_json, tree_of, write_whole

#: Columns that the tables with all four categories side by side need.
WIDE = 200


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("stats", "Show what the targets of a run took, over all its restarts: time, cpu, wait and memory.")
    parser.add_tree()
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print JSON for programs: seconds and bytes")
    how.add_argument("--csv", action="store_true", help="print a table for spreadsheets: seconds and bytes")
    parser.add_argument("--trace", metavar="FILE", help="write all attempts for ui.perfetto.dev or chrome://tracing (JSON)")
    parser.add_argument("--sort", metavar="FIELD", default="time.median", help=_SORT)
    parser.add_argument("--categories", metavar="LIST", help="only these: time, cpu, wait, memory, with commas")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    units = parser.add_mutually_exclusive_group()
    units.add_argument("--human", dest="human", action="store_true", default=None, help=_HUMAN)
    units.add_argument("--plain", dest="human", action="store_false", help="seconds, and memory in KiB")
    given = parser.parse_args(argv)

    from ..views.history import History
    from ..views.schema import to_json
    from ..views.stats import CATEGORIES, categories_of, csv_rows, lines, ordered, stats_of
    from ..views.words import show

    categories = CATEGORIES if given.categories is None else categories_of(given.categories)
    history = History(tree_of(given.tree), detail=given.trace is not None)
    history.poll()
    if given.trace is not None:
        from ..views.trace import trace_of

        write_whole(Path(given.trace), trace_of(history), "--trace")
    stats = stats_of(history)
    names = ordered(stats, given.sort, descending=not given.reverse)
    if given.json:
        print_json(to_json(stats))
    elif given.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows(csv_rows(stats, names))
    else:
        terminal = sys.stdout.isatty()
        human = terminal if given.human is None else given.human
        wide = not terminal or shutil.get_terminal_size().columns >= WIDE // 4 * len(categories)
        show(list(lines(stats, names, human=human, wide=wide, categories=categories)), sys.stdout)
    return 0


_HUMAN = "units for people (default on a terminal)"
_SORT = (
    "order of the names: name, count, retries, failed, lost, wasted, asked_memory, memory_efficiency, cpu_efficiency, "
    "or such as time.total (min, median, mean, max, total of time, cpu, wait, memory)"
)
