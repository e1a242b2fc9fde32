from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobtree
from examples import sort

ROOT = Path(__file__).parents[2]
CONTENTS = {
    "empty": b"",
    "one newline": b"\n",
    "only newlines": b"\n" * 1000,
    "no newline at all": b"alone",
    "no last newline": b"b\na",
    "a last line that is a prefix": b"ab\nabc\na",
    "NUL and high bytes": b"\xff\n\0\n\0\0\n\x80\n\na\0b\na\n" * 50,
    "carriage returns": b"b\r\na\r\nb\n",
    "one line longer than all blocks": b"b\n" + b"x" * 3_000_000 + b"\na\n",
    "a long line at the end": b"b\na\n" + b"x" * 300_000,
    "equal lines": b"same\n" * 5000,
    "random words": b"\n".join(random.Random(7).randbytes(n % 13).replace(b"\n", b"") for n in range(20_000)),
}


def sorted_by_sort(path: Path) -> bytes:
    command = ["sort", str(path)]
    return subprocess.run(command, env={**os.environ, "LC_ALL": "C"}, capture_output=True, check=True).stdout


@pytest.fixture(params=list(CONTENTS))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_bytes(CONTENTS[request.param])
    return path


@pytest.mark.parametrize("lines", [None, 7000, 3, 1])
def test_the_result_is_that_of_sort_byte_for_byte(path: Path, tmp_path: Path, lines: int | None) -> None:
    if lines in (1, 3) and path.stat().st_size > 10_000:
        lines = 700
    before = path.read_bytes()
    jobtree.run(sort.Setup(path, tmp_path / "out", lines), inline=True)
    assert (tmp_path / "out").read_bytes() == sorted_by_sort(path)
    assert path.read_bytes() == before


def test_in_place_keeps_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "only" / "text"
    path.parent.mkdir()
    path.write_bytes(b"b\na")
    path.chmod(0o640)
    jobtree.run(sort.Setup(path, path, None), inline=True)
    assert path.read_bytes() == b"a\nb\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


@given(st.lists(st.binary(max_size=4), max_size=40), st.integers(1, 9), st.booleans())
def test_cuts_are_at_line_starts_and_make_every_part_smaller(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], limit: int, newline: bool
) -> None:
    lines = [line.replace(b"\n", b"") for line in lines]
    data = b"\n".join(lines) + (b"\n" if newline and lines else b"")
    path = tmp_path_factory.getbasetemp() / "cuts"
    path.write_bytes(data)
    count = data.count(b"\n") + (not data.endswith(b"\n") and data != b"")
    with path.open("rb") as file:
        assert sort.is_large(file, 0, len(data), limit) == (count > limit)
        cuts = sort.line_starts(file, 0, len(data))
    assert (cuts == []) == (count <= 1)
    assert cuts == sorted(set(cuts))
    assert all(0 < cut < len(data) and data[cut - 1 : cut] == b"\n" for cut in cuts)


def test_a_part_of_many_bytes_or_of_many_lines_is_large_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort, "LEAF_BYTES", 100)
    monkeypatch.setattr(sort, "LEAF_LINES", 10)
    path = tmp_path / "text"
    path.write_bytes(b"\n" * 11 + b"x" * 200)
    with path.open("rb") as file:
        assert not sort.is_large(file, 0, 10, None)
        assert sort.is_large(file, 0, 11, None)
        assert not sort.is_large(file, 11, 111, None)
        assert sort.is_large(file, 11, 112, None)


def test_merging_goes_by_blocks_and_keeps_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sort, "BLOCK", 64)
    chance = random.Random(3)
    parts = []
    for n in range(5):
        parts.append(tmp_path / str(n))
        lines = sorted(b"%d" % chance.randrange(300) * (n + 1) for _ in range(n * 200))
        parts[n].write_bytes(b"".join(line + b"\n" for line in lines))
    sort.merge(parts, tmp_path / "out")
    everything = sorted(line for part in parts for line in part.read_bytes().splitlines())
    assert (tmp_path / "out").read_bytes().splitlines() == everything


def test_a_new_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def break_off() -> None:
        with sort.new_file(tmp_path / "out") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_shrinks_meanwhile_is_an_error_and_no_endless_loop(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a\n")
    with path.open("rb") as file, pytest.raises(EOFError, match="has become shorter"):
        sort.is_large(file, 0, 10, 5)


def run_script(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples/sort.py"), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_the_script_sorts_with_real_workers(tmp_path: Path) -> None:
    path, out = tmp_path / "text", tmp_path / "out"
    path.write_bytes(CONTENTS["random words"])
    options = ["--output", out, "--lines-per-target", 1500, "--tree", tmp_path / "tree", "--workers", 2]
    ended = run_script(path, *options)
    assert ended.returncode == 0, ended.stderr
    assert out.read_bytes() == sorted_by_sort(path)


def test_the_script_sorts_in_place_behind_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "text", tmp_path / "link"
    path.write_bytes(b"b\na")
    link.symlink_to(path)
    ended = run_script(link, "--tree", tmp_path / "tree")
    assert ended.returncode == 0, ended.stderr
    assert (path.read_bytes(), link.is_symlink()) == (b"a\nb\n", True)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["/no/such"], "/no/such is not a file"), ([__file__, "--lines-per-target", "0"], "must be at least 1")],
)
def test_the_script_refuses_nonsense_in_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    ended = run_script(*words, "--tree", tmp_path / "tree")
    assert ended.returncode == 2
    assert message in ended.stderr.splitlines()[-1]
    assert not (tmp_path / "tree").exists()
