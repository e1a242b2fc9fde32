"""Whoever can reach the port, or even has a worker's key, may send what he likes: the run goes on, and the master stays small."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
import zmq

import jobtree
from jobtree.protocol import keys
from jobtree.protocol.codec import HELLO_FIELDS, Message, decode, encode
from jobtree.protocol.messages import ENVELOPE_LIMIT, MAY_SEND, Role, Type
from tests.support.scripts import Project, Running, poll

SCRIPT = """
import os, time, jobtree

@jobtree.target
def leaf(n):
    time.sleep(0.01)
    return n

@jobtree.target
def root(target, round=0):
    if os.path.exists("go"):
        return round
    target.set_follow_on(total([target.add_child(leaf(n)) for n in range(20)], round))

@jobtree.target
def total(target, parts, round):
    assert sum(parts) == 190
    with open("rounds", "a") as file:
        file.write(f"{round}\\n")
    target.set_follow_on(root(round + 1))

if __name__ == "__main__":
    jobtree.run(root(), tree="T", progress="none")
    print("it ended well")
"""
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"CURVE".ljust(20, b"\0") + bytes(32)
MIB = 1 << 20


@pytest.fixture
def run(project: Project) -> Running:
    started = project.start(project.write("script.py", SCRIPT))
    poll((project.directory / "rounds").exists)
    return started


@contextlib.contextmanager
def unmoved(project: Project, run: Running) -> Iterator[keys.Connection]:
    """The run proceeds during and after what happens here, and its master grows by 64 MiB at most."""
    master = psutil.Process(run.pid)
    before = master.memory_info().rss
    yield keys.read_connection(project.tree / "connection")
    rounds = project.directory / "rounds"
    size = rounds.stat().st_size
    poll(lambda: rounds.stat().st_size > size + 4 or run.process.poll() is not None)
    grown = master.memory_info().rss - before
    assert grown <= 64 * MIB, f"the master has grown by {grown / MIB:.0f} MiB"
    project.write("go", "")
    ended = run.wait()
    assert (ended.status, ended.lines) == (0, ["it ended well"]), ended.err
    assert "Traceback" not in ended.err
    assert "is lost" not in ended.err


def dial(connection: keys.Connection) -> socket.socket:
    host, _, port = connection.addresses[0].removeprefix("tcp://").rpartition(":")
    return socket.create_connection((host.strip("[]").removeprefix("::ffff:"), int(port)), timeout=10)


@contextlib.contextmanager
def member(connection: keys.Connection) -> Iterator[zmq.Socket[Any]]:
    """Somebody with a worker's key."""
    with zmq.Context() as context:
        peer: zmq.Socket[Any] = context.socket(zmq.DEALER)
        keys.prepare_worker(peer, connection)
        peer.connect(connection.addresses[0])
        try:
            yield peer
        finally:
            peer.close(linger=2000)


def test_raw_garbage_half_handshakes_and_mute_connections(project: Project, run: Running) -> None:
    rng = Random(1)
    with unmoved(project, run) as connection, contextlib.ExitStack() as mute:
        for number in range(150):
            line = mute.enter_context(dial(connection))
            kind = number % 5
            with contextlib.suppress(OSError):  # it may have been thrown out already
                if kind == 0:
                    line.sendall(rng.randbytes(rng.randint(1, 5000)))
                elif kind == 1:
                    line.sendall(GREETING[: rng.randint(1, len(GREETING))])
                elif kind == 2:
                    line.sendall(GREETING + rng.randbytes(300))
                elif kind == 3:
                    line.sendall(GREETING + b"\x06" + (1 << 40).to_bytes(8, "big") + rng.randbytes(1000))
        for _ in range(3):
            with dial(connection) as line, contextlib.suppress(OSError):
                for _ in range(64):
                    line.sendall(bytes(MIB))


def test_messages_that_are_too_large_from_somebody_with_a_key(project: Project, run: Running) -> None:
    with unmoved(project, run) as connection:
        for size in (ENVELOPE_LIMIT + 1, 3 * ENVELOPE_LIMIT, 40 * MIB):
            with member(connection) as peer:
                peer.send_multipart([b"\x90" * size])
                peer.poll(500)


def hello(connection: keys.Connection) -> dict[str, Any]:
    whatever: dict[type, Any] = {str: "", int: 0, float: 0.0, list: []}
    kinds = {key: kind if isinstance(kind, type) else kind[0] for key, kind in HELLO_FIELDS.items()}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    known = {"version": jobtree.__version__, "python": python, "run": connection.run, "uid": "mallory", "seen": [0, 0]}
    return {key: whatever[kind] for key, kind in kinds.items()} | known


ODD: list[Any] = [
    None, True, -1, 0, 2**63, 2**64 - 1, -(2**63), 1.5, float("nan"), float("inf"), "", "x" * 100_000, b"bytes", [], {}, [[]],
    [[[]]], {"a": 1}, {1: 2}, [None] * 1000, [[0, 0]], [[1, 1, 1, [["t", None, {}]], [0, 1], {}, [0]]], "\udc80",
]  # fmt: skip


def nonsense(rng: Random, depth: int = 3) -> Any:
    if depth and rng.random() < 0.5:
        return [nonsense(rng, depth - 1) for _ in range(rng.randrange(6))]
    return rng.choice(ODD)


def test_well_formed_nonsense_from_somebody_with_a_key(project: Project, run: Running) -> None:
    rng = Random(2)
    kinds = sorted(MAY_SEND[Role.WORKER])
    with unmoved(project, run) as connection:
        for _ in range(20):
            with member(connection) as peer:
                greeting = hello(connection)
                if rng.random() < 0.7:
                    greeting[rng.choice(list(HELLO_FIELDS))] = rng.choice(ODD)
                peer.send_multipart(encode(Message(Type.HELLO, rng.choice((0, 1)), 5, 0, [greeting])))
                for number in range(1, 30):
                    kind = rng.choice(kinds)
                    body = [nonsense(rng) for _ in range(rng.randrange(4))]
                    message = Message(kind, 1, 5, number, body, rng.randbytes(rng.choice((0, 10))))
                    peer.send_multipart(encode(message))
                    if rng.random() < 0.2:
                        peer.send_multipart([rng.randbytes(rng.randrange(200)) for _ in range(rng.randint(1, 4))])
                peer.poll(100)


def test_attempts_that_nobody_has_are_not_ended_by_somebody_with_a_key(project: Project, run: Running) -> None:
    with unmoved(project, run) as connection, member(connection) as peer:
        peer.send_multipart(encode(Message(Type.HELLO, 0, 5, 0, [hello(connection)])))
        assert peer.poll(20_000)
        assert decode(peer.recv_multipart(), Role.MASTER).type is Type.WELCOME
        for number in range(1, 200):
            row = [1, number, "", 0, 0, None, None, 0.0, 0.0, 0.0, 0.0, 0, None, None]
            peer.send_multipart(encode(Message(Type.DONE, 1, 5, number, [[row], [0]])))
        peer.send_multipart(encode(Message(Type.BYE, 1, 5, 200, ["enough"])))
        peer.poll(500)


# -- another user of the machine --------------------------------------------------------------------------------------

NOBODY = 65534


def as_nobody(action: Callable[[], bool]) -> bool:
    """What an action of another user's process comes to."""
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            status = 0 if action() else 1
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def can_read(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def can_list(path: Path) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False


@as_root
def test_another_user_can_not_read_a_key_or_anything_else_of_a_tree(project: Project, run: Running) -> None:
    with unmoved(project, run):
        for directory in [project.directory, *project.directory.parents[:-2]]:
            os.chmod(directory, 0o755)  # so that nothing but the tree itself keeps him out
        assert as_nobody(lambda: can_read(project.directory / "script.py"))
        for name in ("connection", "server.key", "journal/FORMAT"):
            assert not as_nobody(lambda name=name: can_read(project.tree / name))  # type: ignore[misc]
        assert not as_nobody(lambda: can_list(project.tree))
        scratch = [path for path in Path("/tmp").glob("jobtree-*") if path.stat().st_uid == os.geteuid()]
        assert not any(as_nobody(lambda path=path: can_list(path)) for path in scratch)  # type: ignore[misc]


@as_root
def test_another_users_links_in_a_shared_directory_are_not_followed(project: Project) -> None:
    shared = project.directory / "shared"
    shared.mkdir()
    os.chmod(shared, 0o1777)
    for directory in [project.directory, *project.directory.parents[:-2]]:
        os.chmod(directory, 0o755)
    victim = project.write("victim", "untouched")
    script = project.write("script.py", SCRIPT)
    project.write("go", "")

    def lay_traps() -> bool:
        (shared / "T").mkdir(mode=0o777)
        (shared / "T" / "journal").symlink_to(victim.parent)
        (shared / "U").symlink_to(victim.parent / "elsewhere")
        return True

    assert as_nobody(lay_traps)
    source = script.read_text().replace('tree="T"', "tree=__import__('sys').argv[1], scratch_dir='shared'")
    other = project.write("other.py", source)
    ended = project.run(other, shared / "T", status=2)
    assert "T" in ended.last_error
    assert victim.read_text() == "untouched"
    assert project.run(other, shared / "mine").lines == ["it ended well"]
