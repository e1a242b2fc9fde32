"""TREE/blocks/NAME.worker: what each worker of a submission has, where that is not what its command line says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple


class Berth(NamedTuple):
    """What a worker finds on its node; ``memory`` in bytes."""

    cpus: float
    memory: int
    gpus: float


def write_berth(directory: Path, name: str, berth: Berth) -> None:
    """Leave word for the workers of a submission, before it is made."""
    new = directory / f"{name}.worker.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump(berth._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, directory / f"{name}.worker")


def read_berth(directory: Path, name: str) -> Berth | None:
    """What was left for a submission; None where its workers are as their command line says."""
    try:
        told = json.loads((directory / f"{name}.worker").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Berth(float(told["cpus"]), int(told["memory"]), float(told["gpus"]))
