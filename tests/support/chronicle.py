"""What the journal of a project says, read record by record without the tree: who was lost, what was committed how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.views.dump import documents
from tests.support.scripts import Project


def told(project: Project, *kinds: str) -> list[dict[str, Any]]:
    """The records of some types, in order."""
    return [document for document in _documents(project) if document["type"] in kinds]


def commits(project: Project) -> Counter[int]:
    """How often each target was committed."""
    epoch = 0
    target: dict[tuple[int, int], int] = {}
    found: Counter[int] = Counter()
    for document in _documents(project):
        match document["type"]:
            case "EpochBegan":
                epoch = document["epoch"]
            case "AttemptsAssigned":
                pairs = zip(document["targets"][::2], document["targets"][1::2], strict=True)
                targets = [first + place for first, count in pairs for place in range(count)]
                target.update({(epoch, document["first"] + place): which for place, which in enumerate(targets)})
            case "AttemptsAdopted":
                target.update({(old, number): which for old, number, which in document["attempts"]})
            case "AttemptsCommitted":
                found.update(target[row["epoch"], row["number"]] for row in document["rows"])
    return found


def _documents(project: Project) -> Iterator[dict[str, Any]]:
    files = Files()
    return documents(files, Directory.open(files, str(project.tree)))
