"""Hosts made of network namespaces (needs root): a master's and some workers', joined by a bridge on which packets get lost."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Nobody's address: what is sent there is lost in silence.
NOWHERE = "02:de:ad:00:00:01"
MASTER = "10.77.0.1"
KINDS = ("drop", "up", "down", "reset")

_numbers = itertools.count()


@dataclass(frozen=True)
class Host:
    """One namespace; `mac` is that of its way to the others."""

    name: str
    address: str
    mac: str


class Hosts:
    """A master's host, workers' hosts, and one that stands in for the master and knows nothing of anybody's connections."""

    def __init__(self, workers: int) -> None:
        self.prefix = f"jt{os.getpid()}-{next(_numbers)}-"
        self._made: list[str] = []
        try:
            self.master = self._bridge()
            self.workers = [self._join(f"w{index}", f"10.77.0.{10 + index}") for index in range(workers)]
            self._stranger = self._join("x", MASTER, silent=True)
        except BaseException:
            self.close()
            raise

    def _bridge(self) -> Host:
        name = self._namespace("m")
        _ip("-n", name, "link", "add", "name", "br0", "type", "bridge")
        _ip("-n", name, "addr", "add", f"{MASTER}/24", "dev", "br0")
        _ip("-n", name, "link", "set", "br0", "up")
        return Host(name, MASTER, "")

    def _join(self, short: str, address: str, *, silent: bool = False) -> Host:
        name = self._namespace(short)
        _ip("-n", self.master.name, "link", "add", "name", f"v{short}", "type", "veth", "peer", "name", "eth0", "netns", name)
        if silent:  # it answers no questions after the address that it shares with the master
            _run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")
        _ip("-n", self.master.name, "link", "set", f"v{short}", "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        words = _run("ip", "-n", name, "-o", "link", "show", "eth0").split()
        return Host(name, address, words[words.index("link/ether") + 1])

    def _namespace(self, short: str) -> str:
        name = self.prefix + short
        _ip("netns", "add", name)
        self._made.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def cut(self, index: int, kind: str) -> None:
        """From now on packets get lost: in both directions, up to the master, down from it; or are answered with a reset."""
        worker = self.workers[index]
        if kind in ("drop", "up"):
            _lead_astray(worker.name, "eth0", MASTER, NOWHERE)
        if kind in ("drop", "down"):
            _lead_astray(self.master.name, "br0", worker.address, NOWHERE)
        if kind == "reset":
            _lead_astray(worker.name, "eth0", MASTER, self._stranger.mac)

    def heal(self, index: int) -> None:
        """All is well again."""
        for name, device, address in (
            (self.workers[index].name, "eth0", MASTER),
            (self.master.name, "br0", self.workers[index].address),
        ):
            subprocess.run(["ip", "-n", name, "neigh", "del", address, "dev", device], capture_output=True, check=False)

    def close(self) -> None:
        """Remove the hosts, and with them all their links."""
        for name in self._made:
            _ip("netns", "del", name)


@contextmanager
def hosts(workers: int) -> Iterator[Hosts]:
    """Hosts for a test."""
    made = Hosts(workers)
    try:
        yield made
    finally:
        made.close()


def trouble() -> str:
    """Why there can be no such hosts here; empty if they can be made."""
    if os.getuid() != 0:
        return "network namespaces take root"
    try:
        with hosts(1):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no network namespaces with bridges here: {getattr(error, 'stderr', '') or error}"


def _lead_astray(name: str, device: str, address: str, mac: str) -> None:
    _ip("-n", name, "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
