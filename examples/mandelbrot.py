"""Draw the Mandelbrot set by recursive subdivision: a tree whose shape only the data knows.

    python examples/mandelbrot.py --out picture.png --workers 4

A target looks at the border of its tile. If all points there take the same number of steps to escape, so do
all points inside, and the tile is filled. Otherwise a small tile is computed point by point, and a large one
creates four children. No tile tells its creator anything: each leaves a file in the global temp dir of the
first target, and that one's follow-on, which starts when the last of them has ended, makes a PNG of them.
"""

from __future__ import annotations

import argparse
import colorsys
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jobtree
from jobtree import Target

SMALL = 64 * 64  # points of a tile that is not split any further
COLOURS = 255  # besides black, which is colour 0


@dataclass(frozen=True)
class View:
    """Which part of the plane is drawn, how large, and how many steps a point may take."""

    x: float
    y: float
    span: float
    width: int
    height: int
    limit: int

    def steps(self, column: int, row: int) -> int:
        """How many steps the point takes to escape; 0 if it stays within the limit."""
        scale = self.span / self.width
        c = complex(self.x + (column - self.width / 2) * scale, self.y - (row - self.height / 2) * scale)
        if in_a_large_bulb(c):
            return 0
        z = c
        for step in range(1, self.limit):
            if abs(z) > 2.0:
                return step
            z = z * z + c
        return 0


def in_a_large_bulb(c: complex) -> bool:
    """Whether the point lies in the cardioid or the disc left of it, where all stay for ever."""
    q = (c.real - 0.25) ** 2 + c.imag**2
    return q * (q + c.real - 0.25) <= 0.25 * c.imag**2 or abs(c + 1) <= 0.25


@dataclass(frozen=True)
class Tile:
    """A rectangle of the picture, in points."""

    left: int
    top: int
    width: int
    height: int

    def border(self) -> Iterator[tuple[int, int]]:
        """Column and row of each point on the border."""
        right, bottom = self.left + self.width - 1, self.top + self.height - 1
        for column in range(self.left, right + 1):
            yield column, self.top
            yield column, bottom
        for row in range(self.top + 1, bottom):
            yield self.left, row
            yield right, row

    def points(self) -> Iterator[tuple[int, int]]:
        """Column and row of each point, row by row."""
        for row in range(self.top, self.top + self.height):
            for column in range(self.left, self.left + self.width):
                yield column, row

    def quarters(self) -> Iterator[Tile]:
        """Four tiles that cover it."""
        half, middle = self.width // 2, self.height // 2
        for left, width in ((self.left, half), (self.left + half, self.width - half)):
            for top, height in ((self.top, middle), (self.top + middle, self.height - middle)):
                yield Tile(left, top, width, height)


class Picture(Target, memory="64M"):
    """The first target: begins with one tile, the whole picture. Its result is that of its follow-on."""

    def __init__(self, view: View, out: Path) -> None:
        super().__init__()
        self.view = view
        self.out = out

    def run(self) -> int:
        whole = Tile(0, 0, self.view.width, self.view.height)
        self.add_child(Draw(self.view, whole, self.global_temp_dir))
        return self.set_follow_on(Assemble(self.view, self.global_temp_dir, self.out)).value


class Draw(Target, memory="64M"):
    """Draws one tile, or leaves it to four children."""

    def __init__(self, view: View, tile: Tile, tiles: Path) -> None:
        super().__init__()
        self.view = view
        self.tile = tile
        self.tiles = tiles

    def run(self) -> None:
        size = self.tile.width * self.tile.height
        if size <= SMALL or min(self.tile.width, self.tile.height) < 2:
            self.write(bytes(colour(self.view.steps(*point)) for point in self.tile.points()))
        elif (steps := self.steps_of_the_border()) is not None:
            self.write(bytes([colour(steps)]) * size)
        else:
            for quarter in self.tile.quarters():
                self.add_child(Draw(self.view, quarter, self.tiles))

    def steps_of_the_border(self) -> int | None:
        """What all points of the border have in common; None at the first that has not."""
        if self.tile.width == self.view.width:
            return None  # the set may lie within the whole picture and touch no border
        border = self.tile.border()
        first = self.view.steps(*next(border))
        return first if all(self.view.steps(*point) == first for point in border) else None

    def write(self, colours: bytes) -> None:
        """Leave the tile for Assemble; a second attempt would leave the same."""
        tile = self.tile
        path = self.tiles / f"{tile.left} {tile.top} {tile.width} {tile.height}.tile"
        temporary = path.with_suffix(f".{socket.gethostname()}.{os.getpid()}")
        temporary.write_bytes(colours)
        temporary.replace(path)


class Assemble(Target, memory="256M"):
    """Puts the tiles together; returns how many points there are."""

    def __init__(self, view: View, tiles: Path, out: Path) -> None:
        super().__init__()
        self.view = view
        self.tiles = tiles
        self.out = out

    def run(self) -> int:
        width, height = self.view.width, self.view.height
        picture = bytearray(width * height)
        drawn = 0
        for path in self.tiles.glob("*.tile"):
            tile = Tile(*map(int, path.stem.split()))
            paste(picture, width, tile, path.read_bytes())
            drawn += tile.width * tile.height
        if drawn != width * height:
            raise RuntimeError(f"the tiles cover {drawn:,} points of {width * height:,}")
        self.out.write_bytes(png(picture, width, height))
        return drawn


def paste(picture: bytearray, width: int, tile: Tile, colours: bytes) -> None:
    """Copy the rows of a tile to their places."""
    for n in range(tile.height):
        at = (tile.top + n) * width + tile.left
        picture[at : at + tile.width] = colours[n * tile.width : (n + 1) * tile.width]


def colour(steps: int) -> int:
    """The number of a colour: 0 for points that never escape, else the colours in turn."""
    return 0 if steps == 0 else 1 + (steps * 4) % COLOURS


def png(picture: bytes | bytearray, width: int, height: int) -> bytes:
    """A PNG of one byte a point, with a palette."""
    palette = bytearray(b"\0\0\0")
    for n in range(COLOURS):
        part = n / COLOURS
        red, green, blue = colorsys.hsv_to_rgb((0.6 + part) % 1.0, 0.75, 0.35 + 0.65 * abs(1 - 2 * part))
        palette += bytes(round(255 * light) for light in (red, green, blue))
    rows = b"".join(b"\0" + picture[row * width : (row + 1) * width] for row in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", bytes(palette)), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main() -> None:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Draw the Mandelbrot set.")
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="where to write the picture")
    parser.add_argument("--width", type=int, default=1200, metavar="POINTS", help="default 1200")
    parser.add_argument("--height", type=int, default=800, metavar="POINTS", help="default 800")
    parser.add_argument("--max-iterations", type=int, default=1000, metavar="N", help="default 1000")
    parser.add_argument("--x", type=float, default=-0.7453, help="middle of the picture (default -0.7453)")
    parser.add_argument("--y", type=float, default=0.1127, help="middle of the picture (default 0.1127)")
    parser.add_argument("--span", type=float, default=0.0065, help="its width in the plane (default 0.0065)")
    jobtree.add_options(parser)
    args = parser.parse_args()
    if min(args.width, args.height, args.max_iterations) < 1:
        parser.error("--width, --height and --max-iterations must be at least 1")
    view = View(args.x, args.y, args.span, args.width, args.height, args.max_iterations)
    points = jobtree.run(Picture(view, args.out.absolute()), args)
    print(f"{args.out}: {points:,} points")


if __name__ == "__main__":
    main()
