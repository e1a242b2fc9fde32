"""Who may talk to whom: CURVE keys, the connection file that workers read, and the options that every socket gets.

Source of the options and their reasons: ZeroMQ's zmq_setsockopt and zmq_curve manuals; ZAP is RFC 27 of ZeroMQ.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from ..errors import StorageFailed, UsageError
from ..files import Files, write_all
from .messages import ENVELOPE_LIMIT, MESSAGE_LIMIT

DOMAIN = b"jobtree"
ZAP_ENDPOINT = "inproc://zeromq.zap.01"
HIGH_WATER = 100_000  # messages; finite, so that a stalled peer can't eat the memory


@dataclass(frozen=True, slots=True)
class Connection:
    """What a worker must know to reach the master of a tree: kept in TREE/connection, which only its owner may read."""

    run: str
    epoch: int
    addresses: list[str]
    server_public: str
    worker_public: str
    worker_secret: str
    client_public: str = ""
    client_secret: str = ""


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole that nobody else may read, at once visible as a whole, following no link. Raises StorageFailed."""
    files = Files()
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with contextlib.suppress(FileNotFoundError):
            files.unlink(temporary)
        handle = files.create(temporary)
        try:
            write_all(files, handle, content, 0)
            files.sync(handle)
        finally:
            files.close(handle)
        files.rename(temporary, str(path))
        files.sync_directory(str(path.parent))
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error.strerror}; when the disk is well, start again") from error


def read_private(path: Path) -> bytes:
    """Read such a file; UsageError if it is not ours alone, for then its content proves nothing."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.getuid():
            raise UsageError(f"{path} belongs to user {status.st_uid}, not to you")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise UsageError(f"{path} can be read by others: anybody may have its keys; chmod 600 it if you trust it")
        return file.read()


def load_or_make_server_key(path: Path) -> tuple[bytes, bytes]:
    """The server's key pair (public, secret), kept over restarts so that living workers find their master again."""
    try:
        public, secret = read_private(path).split()
    except FileNotFoundError:
        public, secret = new_pair()
        write_private(path, public + b"\n" + secret + b"\n")
    return public, secret


def new_pair() -> tuple[bytes, bytes]:
    """A new key pair: public, secret."""
    public, secret = zmq.curve_keypair()
    return public, secret


def write_connection(path: Path, connection: Connection) -> None:
    """Tell workers where the master is."""
    write_private(path, json.dumps(asdict(connection), indent=1).encode())


def read_connection(path: Path) -> Connection:
    """Where the master is, by the last one that said so; UsageError if the file makes no sense."""
    try:
        return Connection(**json.loads(read_private(path)))
    except FileNotFoundError:
        raise UsageError(f"{path.parent} has no connection file: no master was ever started on it") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}); restart the master to have it written anew") from None


def prepare(socket: zmq.Socket[Any]) -> None:
    """The options that master and worker share."""
    socket.linger = 0
    socket.sndhwm = socket.rcvhwm = HIGH_WATER
    socket.maxmsgsize = MESSAGE_LIMIT
    socket.heartbeat_ivl, socket.heartbeat_timeout, socket.heartbeat_ttl = 5_000, 15_000, 20_000
    socket.handshake_ivl = 5_000
    socket.ipv6 = True


def prepare_server(socket: zmq.Socket[Any], secret: bytes) -> None:
    """A ROUTER that only peers with an admitted key can talk to."""
    prepare(socket)
    socket.maxmsgsize = 2 * ENVELOPE_LIMIT  # who sends more loses its connection
    socket.router_mandatory = True
    socket.backlog = 1024
    socket.curve_server = True
    socket.curve_secretkey = secret
    socket.zap_domain = DOMAIN
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def prepare_worker(socket: zmq.Socket[Any], connection: Connection) -> None:
    """A DEALER that proves to be a worker of the tree, and dials once only: redialling is the worker's own business."""
    prepare(socket)
    socket.reconnect_ivl = -1
    socket.connect_timeout = 5_000  # who can't be reached is no master that takes its time to answer
    socket.curve_serverkey = connection.server_public.encode()
    socket.curve_publickey = connection.worker_public.encode()
    socket.curve_secretkey = connection.worker_secret.encode()


def prepare_client(socket: zmq.Socket[Any], connection: Connection) -> None:
    """A DEALER that proves to be a client of the tree."""
    if not connection.client_public:
        raise UsageError("the connection file has no keys for clients; restart the run to have it written anew")
    prepare(socket)
    socket.curve_serverkey = connection.server_public.encode()
    socket.curve_publickey = connection.client_public.encode()
    socket.curve_secretkey = connection.client_secret.encode()


class Doorkeeper:
    """The ZAP handler: admits the workers' key and the clients', and says with each message whose it is (its "User-Id")."""

    def __init__(self, context: zmq.Context[Any], worker_public: bytes, client_public: bytes) -> None:
        self.socket: zmq.Socket[Any] = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ZAP_ENDPOINT)
        self._admitted = {z85.decode(worker_public): b"worker", z85.decode(client_public): b"client"}

    def answer(self) -> None:
        """Answer all requests that wait."""
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self._verdict(frames))

    def _verdict(self, frames: list[bytes]) -> list[bytes]:
        known = len(frames) >= 7 and frames[5] == b"CURVE" and frames[2] == DOMAIN
        who = self._admitted.get(frames[6]) if known else None
        request = frames[1] if len(frames) > 1 else b""
        if who is not None:
            return [b"1.0", request, b"200", b"OK", who, b""]
        return [b"1.0", request, b"400", b"this key is not admitted", b"", b""]

    def close(self) -> None:
        """Stop answering."""
        self.socket.close()
