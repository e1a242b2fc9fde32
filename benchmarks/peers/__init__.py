"""What jobtree is compared with; each peer is a file here that is imported only where it is installed and asked for."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol


class Peer(Protocol):
    """One system, with `slots` processes; its own start and end are not counted."""

    name: str

    def fan_out(self, count: int, slots: int) -> float:
        """Seconds for so many no-op calls, results awaited."""

    def chain(self, steps: int, slots: int) -> list[float]:
        """The seconds of each of so many calls, every one submitted with the result of the one before."""

    def naps(self, count: int, seconds: float, slots: int) -> float:
        """Seconds for so many calls that sleep."""

    def echo(self, count: int, size: int, slots: int) -> float:
        """Seconds for so many calls that give back their argument of so many bytes."""


#: Peers are slow beside us: where they are asked for many calls, they get fewer, and what counts is calls per second.
SLOWER = {"Dask": 10, "Ray": 5, "Parsl HTEX": 10, "ipyparallel": 20}

#: By name: the module that has to be installed, and where the class is.
TABLE = {
    "pool": ("concurrent.futures", "benchmarks.peers.pool:Pool"),
    "dask": ("distributed", "benchmarks.peers.dask:Dask"),
    "ray": ("ray", "benchmarks.peers.ray:Ray"),
    "parsl": ("parsl", "benchmarks.peers.parsl:Parsl"),
    "ipyparallel": ("ipyparallel", "benchmarks.peers.ipyparallel:Ipyparallel"),
}


def names(text: str) -> list[str]:
    """The names in `A,B`."""
    asked = [name for name in text.split(",") if name]
    for name in asked:
        if name not in TABLE:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(TABLE)}")
    return asked


def installed(asked: list[str] | None) -> tuple[Peer, ...]:
    """The peers asked for, or all that are installed."""
    chosen = TABLE if asked is None else {name: TABLE[name] for name in asked}
    made: list[Peer] = []
    for module, place in chosen.values():
        if find_spec(module.partition(".")[0]) is not None:
            home, _, kind = place.partition(":")
            made.append(getattr(import_module(home), kind)())
    return tuple(made)
