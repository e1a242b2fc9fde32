from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples import demo

ROOT = Path(__file__).parents[2]


def test_text_is_gathered_once_and_unpacked_and_nothing_else_is(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "a.txt").write_bytes(b"first\n")
    (place / "b.gz").write_bytes(gzip.compress(b"second\n"))
    (place / "c.gz").write_bytes(b"no gzip\n")
    (place / "d").write_bytes(b"binary\0\n")
    (place / "e").symlink_to(place / "a.txt")
    os.link(place / "a.txt", place / "f")
    seen: set[tuple[int, int]] = set()
    read = [demo.read_text(str(path), seen) for path in sorted(place.iterdir())]
    assert read == [b"first\n", b"second\n", None, None, None, None]


def test_too_little_text_is_repeated_in_another_order_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "text").write_bytes(b"one two three four five six seven\nlast")
    monkeypatch.setattr(demo, "PLACES", [str(tmp_path / "place")])
    text = tmp_path / "text"
    repeated = demo.make_text(text, 1000)
    data = text.read_bytes()
    assert len(data) == 39 + repeated >= 1000
    assert {frozenset(line.split()) for line in data.splitlines()} == {
        frozenset(b"one two three four five six seven".split()),
        frozenset([b"last"]),
    }
    assert f"{repeated:,} of these bytes are a repetition" in demo.describe(text, repeated)
    assert "repetition" not in demo.describe(text, 0)


def test_the_demo_proves_its_result(tmp_path: Path) -> None:
    words = ["--megabytes", "3", "--workers", "2", "--directory", str(tmp_path / "demo")]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/demo.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "The results are equal, byte for byte." in ended.stdout
