"""What workers print themselves, and what their batch jobs say: the files in TREE/blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import UsageError
from .history import History
from .words import escape


def own_output(tree: str, worker: str) -> Iterator[str]:
    """The lines of a worker's files, first those of its batch job; each file is introduced by its name.

    `worker` is a number or name as status shows it, or BLOCK.INDEX for one that never came. Raises UsageError if it is neither.
    """
    block, index = _place(tree, worker)
    files = sorted(Path(tree, "blocks").glob(f"{_literal(block)}.*"))
    chosen = [path for path in files if path.name in (f"{block}.{index}.out", *_of_job(tree, block, index))]
    for path in sorted(chosen, key=lambda path: path.suffix != ".job"):
        text = path.read_text(errors="replace")
        if text:
            yield f"==> {path}"
            yield from (escape(line) for line in text.splitlines())


def _place(tree: str, worker: str) -> tuple[str, int]:
    history = History(tree)
    history.poll()
    number = re.fullmatch(r"w?(\d+)(@.*)?", worker)
    if number is not None:
        found = history.workers.get(int(number[1]))
        if found is not None and found.joined.block:
            return found.joined.block, found.joined.index
    name, _, index = worker.rpartition(".")
    if name in history.blocks and index.isdigit():
        return name, int(index)
    blocks = ", ".join(history.blocks) or "none"
    raise UsageError(f"{tree} has no worker {worker}; say a number, as status shows it, or BLOCK.INDEX (blocks: {blocks})")


def _of_job(tree: str, block: str, index: int) -> list[str]:
    """The names that the batch system may have given its own file: some count from 0, some from 1."""
    first = 0 if Path(tree, "blocks", f"{block}.0.job").exists() else 1
    return [f"{block}.{index + first}.job"]


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
