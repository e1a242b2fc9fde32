"""The merge sort of `make demo` against `LC_ALL=C sort` alone."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
from pathlib import Path

from benchmarks.measure import Figures, Setting, Workload
from examples import demo

MEGABYTES = 200
WORKERS = "4"


def workload(setting: Setting) -> Workload:
    """the sort of `make demo` (200 MB of text, 4 workers) against sort(1)"""
    folder = Path(tempfile.mkdtemp(dir=setting.directory))
    text, ours, theirs = folder / "text", folder / "ours", folder / "theirs"

    def jobtree() -> Figures:
        _prepare(text, setting)
        seconds = demo.sort_with_jobtree(text, ours, folder / "tree", WORKERS)
        shutil.rmtree(folder / "tree")
        return {"seconds": seconds, "megabytes_per_s": text.stat().st_size / seconds / 1e6}

    def sort() -> Figures:
        _prepare(text, setting)
        seconds = demo.sort_alone(text, theirs)
        assert not ours.exists() or filecmp.cmp(ours, theirs, shallow=False), "the results differ"
        return {"seconds": seconds, "megabytes_per_s": text.stat().st_size / seconds / 1e6}

    what = f"{setting.scaled(MEGABYTES)} MB of text, {WORKERS} workers, all started and stopped; sort(1) with all its threads"
    return Workload("sorting", what, "seconds", False, {"jobtree": jobtree, "LC_ALL=C sort": sort})


def _prepare(text: Path, setting: Setting) -> None:
    if not text.exists():
        demo.make_text(text, setting.scaled(MEGABYTES * 1_000_000))
