"""`jobtree dashboard`: a run as a local web page."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UsageError
from .arguments import Parser, tree_of

Control = Callable[[str, dict[str, Any]], dict[str, Any]]


def main(argv: Sequence[str]) -> int:
    """Exit status 0 when it was ended by ^C."""
    parser = Parser("dashboard", "Show a run as a web page of this machine: who runs what, progress, logs, failures, metrics.")
    parser.add_tree()
    parser.add_argument("--port", type=int, default=0, metavar="N", help="the port (default: a free one)")
    parser.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="the address (default 127.0.0.1: this machine only)"
    )
    parser.add_argument("--control", action="store_true", help="let the page cancel, retry, scale and stop")
    given = parser.parse_args(argv)
    try:
        import uvicorn

        from ..views.dashboard import application
    except ImportError as error:
        raise UsageError(f"the dashboard needs more packages ({error.name}): pip install 'jobtree[dashboard]'") from error
    from ..views.live import Live

    tree = tree_of(given.tree)
    live = Live(tree)
    listener = _listen(given.bind, given.port)
    host, port = listener.getsockname()[:2]
    token = secrets.token_urlsafe(24)
    shown = f"[{host}]" if ":" in host else host
    hosts = frozenset(f"{name}:{port}" for name in (shown, given.bind, "localhost"))
    app = application(live, token, hosts, _control(tree) if given.control else None)
    print(f"http://{shown}:{port}/?token={token}", flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def _control(tree: str) -> Control:
    from .._control import ask

    return lambda verb, about: ask(tree, verb, **about)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(f"{address} port {port} can't be listened on: {error}; choose with --bind and --port") from error
    return listener
