"""The runs that this user has begun, on whatever machine shares the home directory: what `jobtree ps` goes by."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger("jobtree")


def directory() -> Path:
    """Where there is a small file for each run: its name is the run's id, its content the path of the tree."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "jobtree" / "runs"


def remember(run: str, tree: Path) -> None:
    """Note that there is such a run. A home that can't be written keeps no run from being made."""
    try:
        place = directory()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = place / f".{run}.{os.getpid()}"
        new.write_bytes(os.fsencode(tree))
        new.replace(place / run)
    except (OSError, RuntimeError) as error:
        log.debug("this run will not be in the list of runs: %s", error)


def known() -> Iterator[Path]:
    """The trees of all runs that are still there, the oldest first; those that are gone are forgotten."""
    try:
        notes = sorted((note for note in directory().iterdir() if not note.name.startswith(".")), key=lambda n: n.stat().st_mtime)
    except OSError:
        return
    for note in notes:
        try:
            tree = Path(os.fsdecode(note.read_bytes()))
        except OSError:
            continue  # another `ps` has forgotten it just now
        if (tree / "journal" / "FORMAT").exists():
            yield tree
        elif tree.parent.exists():  # else its file system may only not be here
            note.unlink(missing_ok=True)
