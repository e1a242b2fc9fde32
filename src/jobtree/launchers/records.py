"""What a batch system's launcher remembers of its submissions, in TREE/blocks/NAME.json: each name, and the blocks under it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jobtree.errors import LauncherError
from jobtree.launchers.base import BlockId


@dataclass(slots=True)
class Submission:
    """One submission: `blocks` in the order of their index, empty while it is open whether the system has taken it.

    `ended` says how those ended that are known to have; `disowned` that it was looked for and not found, so that it
    is to be removed should it turn up yet.
    """

    name: str
    n: int
    blocks: list[BlockId] = field(default_factory=list)
    ended: dict[BlockId, str] = field(default_factory=dict)
    disowned: bool = False

    @property
    def open(self) -> list[BlockId]:
        """The blocks that are not known to have ended."""
        return [block for block in self.blocks if block not in self.ended]


class Records:
    """All submissions of a tree; written through to the disk before anybody acts on them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, Submission] = {}
        self._name_of: dict[BlockId, str] = {}
        for path in sorted(directory.glob("*.json")):
            self._take(_read(path))

    def __iter__(self) -> Iterator[Submission]:
        return iter(list(self._known.values()))

    def get(self, name: str) -> Submission | None:
        """What is known of a submission."""
        return self._known.get(name)

    def of(self, block: BlockId) -> Submission | None:
        """The submission that a block belongs to."""
        name = self._name_of.get(block)
        return self._known[name] if name is not None else None

    def keep(self, submission: Submission) -> None:
        """Remember a submission as it is now."""
        self._take(submission)
        path = self._directory / f"{submission.name}.json"
        new = path.with_suffix(".json.new")
        try:
            with new.open("w") as file:
                json.dump(asdict(submission), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, path)
        except OSError as error:
            raise LauncherError(["write", str(path)], None, str(error)) from error

    def _take(self, submission: Submission) -> None:
        self._known[submission.name] = submission
        for block in submission.blocks:
            self._name_of[block] = submission.name


def _read(path: Path) -> Submission:
    try:
        return Submission(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise LauncherError(["read", str(path)], None, f"no record of a submission: {error!r}") from error
