"""Arguments and results of all sizes: through the journal, or by way of TREE/blobs above 64 KiB."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.peers import Peer
from benchmarks.targets import fan_out_echoes

#: Bytes, and how many calls.
SIZES = ((0, 4000), (1 << 10, 4000), (100 << 10, 400), (1 << 20, 80), (10 << 20, 16))


def workload(setting: Setting) -> Workload:
    """calls that give back their argument, of 0 B to 10 MiB"""
    sizes = [(size, setting.scaled(count, least=2)) for size, count in SIZES]

    def ours() -> Figures:
        seconds = [engine.run(fan_out_echoes(count, size), setting.directory).result for size, count in sizes]
        return _figures(sizes, seconds)

    contenders = {"jobtree": ours} | {peer.name: _theirs(peer, sizes) for peer in setting.peers}
    return Workload("sizes", "each call gives back its argument, every one another", "calls_per_s_1KiB", True, contenders)


def _theirs(peer: Peer, sizes: list[tuple[int, int]]) -> Callable[[], Figures]:
    return lambda: _figures(sizes, [peer.echo(count, size, engine.slots()) for size, count in sizes])


def _figures(sizes: list[tuple[int, int]], seconds: list[float]) -> Figures:
    return {f"calls_per_s_{_words(size)}": count / taken for (size, count), taken in zip(sizes, seconds, strict=True)}


def _words(size: int) -> str:
    return f"{size >> 20}MiB" if size >= 1 << 20 else f"{size >> 10}KiB" if size else "0B"
