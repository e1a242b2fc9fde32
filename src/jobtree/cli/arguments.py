"""What the verbs share: a parser whose errors are one line, and the tree that is meant."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UsageError

DEFAULT_TREE = "./jobTree"


class Parser(argparse.ArgumentParser):
    """An argument parser for one verb; what it does not understand is a UsageError."""

    def __init__(self, verb: str, description: str) -> None:
        width = min(80, _columns())
        super().__init__(
            prog=f"jobtree {verb}",
            description=description,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=28, width=width),
        )

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would have printed with the whole usage."""
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def add_tree(self) -> None:
        """TREE, which may be left out."""
        words = f"directory of the run (default $JOBTREE_TREE or {DEFAULT_TREE})"
        self.add_argument("tree", metavar="TREE", nargs="?", help=words)

    def add_json(self) -> None:
        """--json, as every reading verb has it."""
        self.add_argument("--json", action="store_true", help="print JSON for programs")


def tree_of(given: str | None) -> str:
    """The tree that is meant; raises UsageError where it is left out and there is none."""
    if given is not None:
        return given.rstrip("/") or "/"
    named = os.environ.get("JOBTREE_TREE")
    if named:
        return named.rstrip("/") or "/"
    if not os.path.isdir(f"{DEFAULT_TREE}/journal"):
        raise UsageError(f"which tree? {DEFAULT_TREE} is none and JOBTREE_TREE is not set; give its directory")
    return DEFAULT_TREE


def target_ids(words: Iterable[str]) -> list[int]:
    """The ids in words like ``17`` and ``align:17``; UsageError for others."""
    found = []
    for word in words:
        number = word.rpartition(":")[2]
        if not number.isascii() or not number.isdigit() or not int(number):
            raise UsageError(f"{word!r} names no target; give ID or NAME:ID, as jobtree status and jobtree logs show them")
        found.append(int(number))
    return found


def print_json(document: Any, *, pretty: bool = True) -> None:
    """A document on stdout."""
    print(json.dumps(document, indent=2 if pretty else None))


def write_whole(path: Path, pieces: Iterable[str], option: str) -> None:
    """A file, written beside its place first, so that nobody sees half of it; raises UsageError for a directory."""
    if path.is_dir():
        raise UsageError(f"{option} {path} is a directory; name a file")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _columns() -> int:
    try:
        return max(40, int(os.environ["COLUMNS"]))
    except (KeyError, ValueError):
        return 80
