"""Who may talk to a master, who may read its keys, and that it never opens what targets have pickled."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from jobtree.protocol import keys
from jobtree.protocol.codec import Message, encode
from jobtree.protocol.messages import Type
from tests.support.scripts import Project, Running, poll

SCRIPT = """
import os, time, jobtree

@jobtree.target
def wait():
    open("waiting", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
    return "waited"

if __name__ == "__main__":
    os.umask(0)
    print(jobtree.run(wait(), tree="T"))
"""


@pytest.fixture
def run(project: Project) -> Running:
    started = project.start(project.write("script.py", SCRIPT))
    poll((project.directory / "waiting").exists)
    return started


def end(project: Project, run: Running) -> None:
    project.write("go", "")
    ended = run.wait()
    assert ended.lines == ["waited"], ended.err


def test_keys_are_readable_for_their_owner_only_whatever_the_umask(project: Project, run: Running) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [project.tree, *project.tree.rglob("*")]}
    assert modes[project.tree] == 0o700
    assert modes[project.tree / "connection"] == modes[project.tree / "server.key"] == 0o600
    assert {path: oct(mode) for path, mode in modes.items() if path.is_dir() and mode & 0o077} == {}
    end(project, run)


def test_a_local_run_listens_on_the_loopback_interface_only(project: Project, run: Running) -> None:
    listening = {
        connection.laddr.ip
        for process in [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    end(project, run)


def test_no_secret_stands_on_a_command_line(project: Project, run: Running) -> None:
    connection = keys.read_connection(project.tree / "connection")
    lines = "".join(project.processes().values())
    environments = b"".join(Path(f"/proc/{pid}/environ").read_bytes() for pid in project.processes())
    assert str(project.tree) in lines
    for secret in (connection.worker_secret, (project.tree / "server.key").read_text().split()[1]):
        assert secret not in lines
        assert secret.encode() not in environments
    end(project, run)


def test_a_peer_with_another_key_or_without_any_gets_nowhere(project: Project, run: Running) -> None:
    connection = keys.read_connection(project.tree / "connection")
    public, secret = (key.decode() for key in keys.new_pair())
    with zmq.Context() as context:
        for prepare in (
            lambda socket: keys.prepare_worker(socket, _with(connection, worker_public=public, worker_secret=secret)),
            lambda socket: keys.prepare_worker(socket, _with(connection, server_public=public)),
            keys.prepare,
            _plain,
        ):
            socket: zmq.Socket[Any] = context.socket(zmq.DEALER)
            prepare(socket)
            monitor = socket.get_monitor_socket(zmq.EVENT_ALL)
            socket.connect(connection.addresses[0])
            with contextlib.suppress(zmq.Again):  # it has been turned away already
                socket.send_multipart(encode(Message(Type.HELLO, 0, 1, 1, [{}])), zmq.NOBLOCK)
            seen = _events(monitor)
            assert not seen & zmq.EVENT_HANDSHAKE_SUCCEEDED
            assert not socket.poll(0)
            socket.disable_monitor()
            socket.close(linger=0)
    end(project, run)


def _with(connection: keys.Connection, **changes: str) -> keys.Connection:
    fields = {name: getattr(connection, name) for name in connection.__slots__}
    return keys.Connection(**{**fields, **changes})


def _plain(socket: zmq.Socket[Any]) -> None:
    keys.prepare(socket)
    socket.plain_username = b"worker"
    socket.plain_password = b"worker"


def _events(monitor: zmq.Socket[Any]) -> int:
    """All that happened up to the end of the handshake."""
    over = (
        zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
    )  # fmt: skip
    seen = 0
    while not seen & over:
        assert monitor.poll(30_000), "no end of the handshake"
        seen |= int.from_bytes(monitor.recv_multipart()[0][:2], "little")
    return seen


def test_a_key_file_that_others_can_read_is_not_trusted(project: Project) -> None:
    failing = project.write("script.py", SCRIPT.replace("open(", "raise ValueError and open("))
    project.run(failing, status=1)
    os.chmod(project.tree / "server.key", 0o644)
    ended = project.run(failing, status=2)
    assert "server.key can be read by others" in ended.last_error


TRAPPED = """
import os, sys, time, jobtree

def sprung(kind, pid=None):
    with open("sprung", "a") as file:
        file.write(f"{kind} {os.getpid()}\\n")
    return Trap(kind)

class Trap:
    def __init__(self, kind): self.kind = kind
    def __reduce__(self): return sprung, (self.kind,)

class TrapError(Exception):
    def __reduce__(self): return raised, ()

def raised():
    sprung("exception")
    return TrapError()

@jobtree.target
def leaf(trap):
    make = Trap("closure")
    return jobtree.current_target().add_child(jobtree.call(lambda: (make, Trap("result"))[1]))

@jobtree.target
def bad(trap): raise TrapError

@jobtree.target
def big(trap): return (Trap("blob"), b"x" * 200_000)

@jobtree.target
def root(target, trap):
    if not os.path.exists("go"): raise TrapError
    target.global_temp_dir
    value = target.add_child(leaf(Trap("argument")))
    failure = target.add_child(bad(Trap("argument")), allow_failure=True)
    large = target.add_child(big((value, b"y" * 200_000)))
    return target.set_follow_on(jobtree.call(lambda *traps: Trap("root result"), value, failure, large))

if __name__ == "__main__":
    jobtree.run(root(Trap("root")), tree="T")
"""

FORBID = """
import os, sys, pickle, _pickle

def forbidden(*arguments, **keywords):
    raise AssertionError("the master has opened a pickle")

class Forbidden:
    __init__ = forbidden

pickle.loads = pickle.load = pickle._loads = pickle._load = _pickle.loads = _pickle.load = forbidden
pickle.Unpickler = pickle._Unpickler = _pickle.Unpickler = Forbidden

def audit(event, arguments):
    if event == "pickle.find_class":
        forbidden()

sys.addaudithook(audit)
print(os.getpid())
from jobtree.cli.main import main
sys.exit(main(["restart", "T"]))
"""


def test_a_master_never_unpickles_anything(project: Project) -> None:
    project.script(TRAPPED, status=1)
    project.write("go", "")
    ended = project.run(project.write("forbid.py", FORBID))
    sprung = [line.rsplit(" ", 1) for line in (project.directory / "sprung").read_text().splitlines()]
    assert {kind for kind, _ in sprung} >= {"root", "argument", "closure", "result", "exception", "blob"}
    assert ended.lines[0] not in {pid for _, pid in sprung}
    assert "AssertionError" not in ended.err


def test_a_failing_tree_is_reported_by_the_command_line_without_unpickling_either(project: Project) -> None:
    project.script(TRAPPED, status=1)
    ended = project.run(project.write("forbid.py", FORBID), status=1)
    assert "TrapError" in ended.err
    assert ended.lines[0] not in (project.directory / "sprung").read_text().split()
