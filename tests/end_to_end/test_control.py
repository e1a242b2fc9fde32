"""What can be done to a run from outside, with real masters and workers."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zmq

from jobtree.protocol.codec import Message, encode
from jobtree.protocol.keys import prepare_client, read_connection
from jobtree.protocol.messages import Type
from tests.support.scripts import Project, poll

#: Two children wait for a file each; both tell the ledger when they begin and when they have ended.
WAITING = """
    import os, sys, time, pathlib, jobtree

    def note(words):
        with open("ledger", "a") as file:
            print(words, file=file)

    @jobtree.target
    def wait_for(name):
        note(f"{name} begins")
        while not pathlib.Path(name).exists():
            time.sleep(0.01)
        note(f"{name} ends")
        return name

    @jobtree.target
    def both(target):
        return [target.add_child(wait_for("one")), target.add_child(wait_for("two"))]

    if __name__ == "__main__":
        print(jobtree.run(both(), tree="T", worker_cpus=2))
"""


def verb(project: Project, *words: object, status: int | None = 0) -> dict[str, Any]:
    ended = project.run("-m", "jobtree", *words, "--json", status=status)
    document: dict[str, Any] = json.loads(ended.out) if ended.out else {"error": ended.err}
    return document


def begin(project: Project) -> Any:
    running = project.start(project.write("script.py", WAITING))
    poll(lambda: len(project.noted()) == 2)
    return running


def test_a_running_target_is_cancelled_and_its_neighbour_is_not_harmed(project: Project) -> None:
    running = begin(project)
    assert verb(project, "cancel", "T", "wait_for:2") == {"schema": 1, "live": True, "targets": [2], "refused": {}}
    (project.directory / "two").touch()
    ended = running.wait()
    assert ended.status == 1
    assert "cancelled" in ended.err
    assert project.noted()[2:] == ["two ends"]


def test_what_was_cancelled_comes_back_after_a_retry_on_the_stopped_tree(project: Project) -> None:
    running = begin(project)
    verb(project, "cancel", "T", 2)
    (project.directory / "two").touch()
    assert running.wait().status == 1
    assert "cancelled" in project.restart(status=1).err
    assert verb(project, "retry", "T", 2) == {"schema": 1, "live": False, "targets": [2], "refused": {}}
    (project.directory / "one").touch()
    assert project.restart().lines == ["['one', 'two']"]


def test_a_tree_at_rest_can_have_targets_cancelled(project: Project) -> None:
    running = begin(project)
    verb(project, "stop", "T", "--now")
    assert running.wait().status == 130
    assert verb(project, "cancel", "T", 3)["live"] is False
    (project.directory / "one").touch()
    assert "cancelled" in project.restart(status=1).err
    assert "two ends" not in project.noted()


def test_a_run_is_stopped_when_what_runs_is_done(project: Project) -> None:
    running = project.start(project.write("script.py", WAITING.replace("worker_cpus=2", "worker_cpus=1")))
    poll(project.noted)
    assert verb(project, "stop", "T")["live"] is True
    for name in ("one", "two"):
        (project.directory / name).touch()
    assert running.wait().status == 130
    assert len(project.noted()) == 2
    assert project.restart().lines == ["['one', 'two']"]


def test_the_workers_of_a_killed_master_can_be_ended(project: Project) -> None:
    running = begin(project)
    running.kill()
    answer = verb(project, "stop", "T")
    assert answer["live"] is False
    assert len(answer["workers"]) == 1
    poll(lambda: not project.workers())


def test_only_a_living_master_can_scale(project: Project) -> None:
    running = begin(project)
    assert verb(project, "scale", "T", 2) == {"schema": 1, "before": 1, "workers": 2}
    poll(lambda: len(project.workers()) == 2)
    running.kill()
    assert "no master is at work on T; jobtree restart T starts one" in verb(project, "scale", "T", 2, status=2)["error"]
    verb(project, "stop", "T")


def test_a_client_cant_do_what_workers_do_and_a_worker_cant_ask(project: Project) -> None:
    running = begin(project)
    connection = read_connection(project.tree / "connection")
    context: zmq.Context[Any] = zmq.Context()
    socket: zmq.Socket[Any] = context.socket(zmq.DEALER)
    prepare_client(socket, connection)
    socket.connect(connection.addresses[0])
    socket.send_multipart(encode(Message(Type.DONE, 1, 0, 0, [[], []])))
    assert socket.poll(500) == 0  # neither an answer nor a session
    socket.send_multipart(encode(Message(Type.REQUEST, 1, 0, 7, ["ping", {}])))
    assert socket.poll(20_000)
    socket.close()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = connection.server_public.encode()
    socket.curve_publickey = connection.worker_public.encode()
    socket.curve_secretkey = connection.worker_secret.encode()
    socket.connect(connection.addresses[0])
    socket.send_multipart(encode(Message(Type.REQUEST, 1, 0, 7, ["stop", {"now": True}])))
    assert socket.poll(20_000)
    assert b"REPLY" not in socket.recv_multipart()[0]
    context.destroy(linger=0)
    for name in ("one", "two"):
        (project.directory / name).touch()
    assert running.wait().status == 0


@pytest.mark.parametrize("words", [["cancel", "T"], ["cancel", "T", "x"], ["retry", "T", "--memory", "xx"], ["scale", "T", "0"]])
def test_nonsense_is_one_line(project: Project, words: list[str]) -> None:
    ended = project.run("-m", "jobtree", *words, status=2)
    assert len(ended.err.splitlines()) == 1


def test_the_stack_of_a_running_target_shows_its_own_frames_only(project: Project) -> None:
    running = begin(project)
    answer = verb(project, "stack", "T", 2)
    assert "in wait_for" in answer["stack"]
    assert "/jobtree/worker/" not in answer["stack"]
    assert answer["worker"].startswith("w1@")
    assert "it is waiting" in verb(project, "stack", "T", 1, status=2)["error"]
    for name in ("one", "two"):
        (project.directory / name).touch()
    assert running.wait().status == 0


EARLY_STOPPING = """
    import pathlib, time, jobtree

    @jobtree.target
    def search(name):
        pathlib.Path(name).touch()
        while name != "lucky":
            time.sleep(0.01)
        return name

    @jobtree.target
    def watch(target, others):
        while not all(pathlib.Path(name).exists() for name in ("one", "two", "lucky")):
            time.sleep(0.01)
        for other in others:
            target.cancel(other)

    @jobtree.target
    def first(target):
        lucky = target.add_child(search("lucky"))
        others = [target.add_child(search(name)) for name in ("one", "two")]
        target.add_child(watch([other.handle for other in others]))
        unwanted = target.add_child(search("three"))
        target.cancel(unwanted)
        return target.set_follow_on(show([lucky, *others, unwanted]))

    @jobtree.target
    def show(found):
        return [str(one) for one in found], [bool(one) for one in found]

    if __name__ == "__main__":
        print(jobtree.run(first(), tree="T", worker_cpus=4))
"""


def test_targets_stop_early_what_is_not_wanted_any_more(project: Project) -> None:
    ended = project.script(EARLY_STOPPING)
    cancelled = "\"Cancelled(name='search')\""
    assert ended.out == f"(['lucky', {', '.join([cancelled] * 3)}], [True, False, False, False])\n"
    assert not (project.directory / "three").exists()
