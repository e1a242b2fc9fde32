"""Finding and ending processes, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from jobtree.worker import reaper
from tests.worker.door import is_alive, wait_until

ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], env=ENVIRON, start_new_session=True)


def test_descendants_are_found_at_any_depth_parents_first() -> None:
    with subprocess.Popen(["bash", "-c", "bash -c 'sleep 1000; true'; true"]) as shell:
        found = wait_until(lambda: len(pids := reaper.descendants(shell.pid)) == 2 and pids)
        child = reaper.look(found[0])
        grandchild = reaper.look(found[1])
        assert child is not None
        assert grandchild is not None
        assert (child.parent, grandchild.parent) == (shell.pid, child.pid)
        reaper.send(signal.SIGKILL, [shell.pid, *found])
    assert reaper.descendants(shell.pid) == []


def test_a_name_with_brackets_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / ") S 1 (x"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"]) as process:
        found = wait_until(lambda: reaper.look(process.pid))
        assert (found.pid, found.parent, found.zombie) == (process.pid, os.getpid(), False)
        process.kill()
        wait_until(lambda: (p := reaper.look(process.pid)) is not None and p.zombie)
    assert reaper.look(process.pid) is None


def test_nothing_is_left_of_descendants_that_flee_and_do_not_listen(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, subprocess, time\n"
        "from jobtree.worker import reaper\n"
        "reaper.become_subreaper()\n"
        "for n in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        if os.fork() == 0:\n"
        "            open(f'{sys.argv[1]}/{os.getpid()}', 'w').close(); time.sleep(1000)\n"
        "        os._exit(0)\n"
        "spared = subprocess.Popen(['sleep', '1000'])\n"
        "while len(os.listdir(sys.argv[1])) < 3: time.sleep(0.01)\n"
        "assert reaper.kill_descendants(0.2, {spared.pid})\n"
        "assert spared.poll() is None\n"
        "assert reaper.kill_descendants(0.0)\n"
        "assert reaper.descendants(os.getpid()) == []\n"
    )
    process = start(program, str(tmp_path))
    assert process.wait() == 0
    assert len(os.listdir(tmp_path)) == 3
    assert not any(is_alive(int(name)) for name in os.listdir(tmp_path))


def test_sigterm_comes_first_and_is_enough(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "from jobtree.worker import reaper\n"
        "child = subprocess.Popen(['bash', '-c', 'trap \"echo bye > $0/bye; exit\" TERM; touch $0/ready;"
        " while :; do sleep 0.01; done', sys.argv[1]])\n"
        "import os, time\n"
        "while not os.path.exists(sys.argv[1] + '/ready'): time.sleep(0.01)\n"
        "assert reaper.kill_descendants(60.0)\n"
    )
    assert start(program, str(tmp_path)).wait() == 0
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_prey_is_followed_when_its_parents_are_gone(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(1000)\n"
        "time.sleep(1000)\n"
    )
    pidfile = tmp_path / "pid"
    with start(program, str(pidfile)) as process:
        child = int(wait_until(lambda: pidfile.exists() and pidfile.read_text()))
        prey = reaper.Prey(process.pid)
        assert sorted(prey.look(reaper.processes(), alive=True)) == sorted([process.pid, child])
        process.kill()
        process.wait()
        assert prey.look(reaper.processes(), alive=False) == [child]
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: prey.look(reaper.processes(), alive=False) == [])
