"""By which addresses workers may find this machine."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

ANY = ("*", "0.0.0.0", "::", "[::]")


def offered(bind: str, port: int, advertise: str | None) -> list[str]:
    """Endpoints for the workers of a master that listens on ``bind``: what --advertise says, else all that it has.

    Addresses of this host's interfaces come first, that of its name before the others, then the name itself, which nodes may
    resolve otherwise. None of the loopback, which every machine has.
    """
    if advertise is not None:
        hosts = [host.strip() for host in advertise.split(",") if host.strip()]
    elif bind not in ANY:
        hosts = [bind]
    else:
        hosts = list(dict.fromkeys(_all_names()))
    return [_endpoint(host, port) for host in hosts]


def _endpoint(host: str, port: int) -> str:
    host = host.strip("[]")
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _all_names() -> Iterator[str]:
    name = socket.gethostname()
    resolved = list(_resolved(name))
    interfaces = list(_interfaces())
    yield from (address for address in resolved if address in interfaces)
    yield from interfaces
    if all(not ipaddress.ip_address(address).is_loopback for address in resolved):
        yield socket.getfqdn(name) if resolved else name


def _resolved(name: str) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    for *_, address in found:
        yield str(address[0])


def _interfaces() -> Iterator[str]:
    """The addresses of the interfaces that are up; IPv4 first, none that is good on one link or one machine only."""
    import psutil

    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for family in (socket.AF_INET, socket.AF_INET6):
        for name, addresses in psutil.net_if_addrs().items():
            for one in addresses if name in up else ():
                if one.family == family and _is_far(one.address):
                    yield one.address


def _is_far(address: str) -> bool:
    try:
        one = ipaddress.ip_address(address)
    except ValueError:  # fe80::1%eth0
        return False
    return not (one.is_loopback or one.is_link_local or one.is_unspecified)
