from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import jobtree
from examples import mandelbrot
from examples.mandelbrot import Tile, View

ROOT = Path(__file__).parents[2]
WHOLE_SET = View(x=-0.7, y=0.0, span=3.2, width=150, height=100, limit=60)


def point_by_point(view: View) -> bytes:
    every = Tile(0, 0, view.width, view.height).points()
    return bytes(mandelbrot.colour(view.steps(*point)) for point in every)


def decoded(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and points of a PNG as `png` writes it, read by the book."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks[kind] = data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(kind + chunks[kind])
        at += 12 + length
    width, height, depth, colours, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colours, rest) == (8, 3, [0, 0, 0])
    assert len(chunks[b"PLTE"]) == 3 * 256
    assert list(chunks)[-1] == b"IEND"
    rows = zlib.decompress(chunks[b"IDAT"])
    lines = [rows[n * (width + 1) : (n + 1) * (width + 1)] for n in range(height)]
    assert all(line[0] == 0 for line in lines)
    return width, height, b"".join(line[1:] for line in lines)


def test_the_picture_is_the_one_computed_point_by_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mandelbrot, "SMALL", 40)
    out = tmp_path / "picture.png"
    assert jobtree.run(mandelbrot.Picture(WHOLE_SET, out), inline=True) == 150 * 100
    assert decoded(out.read_bytes()) == (150, 100, point_by_point(WHOLE_SET))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (37, 3)])
def test_a_picture_of_any_shape_is_covered(size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mandelbrot, "SMALL", 1)
    view = View(-0.7, 0.0, 3.2, *size, limit=20)
    jobtree.run(mandelbrot.Picture(view, tmp_path / "p.png"), inline=True)
    assert decoded((tmp_path / "p.png").read_bytes()) == (*size, point_by_point(view))


def test_quarters_and_border_and_points_cover_a_tile() -> None:
    tile = Tile(3, 5, 7, 4)
    points = list(tile.points())
    assert len(points) == len(set(points)) == 28
    assert sorted(point for quarter in tile.quarters() for point in quarter.points()) == sorted(points)
    inside = {(column, row) for column, row in points if 3 < column < 9 and 5 < row < 8}
    assert set(tile.border()) == set(points) - inside


def test_a_missing_tile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="cover 0 points of 15,000"):
        mandelbrot.Assemble(WHOLE_SET, tmp_path, tmp_path / "p.png").run()


def test_the_shortcut_for_large_bulbs_agrees_with_iteration() -> None:
    for n in range(400):
        c = complex(-1.3 + (n % 20) * 0.09, -0.7 + (n // 20) * 0.07)
        if mandelbrot.in_a_large_bulb(c):
            z = 0j
            for _ in range(500):
                z = z * z + c
            assert abs(z) <= 2


def test_the_script_draws_with_real_workers(tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    words = [
        "--out",
        str(out),
        "--width",
        "300",
        "--height",
        "200",
        "--max-iterations",
        "60",
        "--workers",
        "2",
    ]
    words += ["--x", "-0.7", "--y", "0", "--span", "3.2", "--tree", str(tmp_path / "tree")]
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples/mandelbrot.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert decoded(out.read_bytes()) == (300, 200, point_by_point(View(-0.7, 0.0, 3.2, 300, 200, 60)))
