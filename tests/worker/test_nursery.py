"""What a nursery makes of the settings, and how it is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtree.worker import reaper
from jobtree.worker.events import RunnerStarted
from jobtree.worker.settings import names_host
from tests.worker.door import SCRIPT, Door, attempt_of, is_alive, opened, wait_until

ENVIRON = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_targets_find_the_masters_surroundings(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = {
        "argv": ["run.py", "--fast"],
        "cwd": str(elsewhere),
        "umask": 0o027,
        "environ": {"ONLY": "this", "PATH": os.environ["PATH"], "SLURM_JOB_ID": "7", "TMPDIR": "/not/here"},
        "sys_path": [*sys.path, "/extra"],
    }
    with opened(tmp_path, **settings) as door:
        found = door.result(door.call("return sys.argv, os.getcwd(), os.umask(0o027), dict(os.environ), sys.path"))
    argv, cwd, umask, environ, path = found
    assert (argv, cwd, umask) == (["run.py", "--fast"], str(elsewhere), 0o027)
    assert path[: len(sys.path) + 1] == [*sys.path, "/extra"]
    own = {name: value for name, value in os.environ.items() if names_host(name)}
    threads = {name: "1" for name in environ if name.endswith("_NUM_THREADS")}
    assert environ == {"ONLY": "this", "PATH": os.environ["PATH"], **own, **threads}


def test_bytes_that_are_no_text_reach_targets_as_they_were(tmp_path: Path) -> None:
    strange = os.fsdecode(b"a\xff")
    elsewhere = tmp_path / strange
    elsewhere.mkdir()
    settings = {"argv": [strange], "cwd": str(elsewhere), "environ": {strange: strange}, "sys_path": [*sys.path, strange]}
    with opened(tmp_path, **settings) as door:
        found = door.result(door.call("return sys.argv, os.getcwdb(), os.environb[b'a\\xff'], sys.path[-2:]"))
    assert found[:3] == ([strange], os.fsencode(elsewhere), b"a\xff")
    assert strange in found[3]


@pytest.mark.parametrize(("name", "expected"), [("TMPDIR", True), ("SLURM_JOB_ID", True), ("PATH", False), ("HOME", False)])
def test_variables_of_the_host_are_known(name: str, expected: bool) -> None:
    assert names_host(name) is expected


def test_a_directory_that_is_not_there_is_a_failure_of_the_targets(tmp_path: Path) -> None:
    with opened(tmp_path, cwd="/no/such/directory") as door:
        (attempt,) = door.give(door.script.nothing())
        assert "/no/such/directory" in door.ended(attempt).row[-1]["message"]


def test_signals_of_the_batch_system_do_not_end_a_nursery(tmp_path: Path) -> None:
    with opened(tmp_path) as door:
        runner = reaper.look(door.wait_for(RunnerStarted).pid)
        assert runner is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(runner.parent, number)
        assert door.result(door.call("return 1")) == 1
        handlers = "return [int(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)]"
        assert door.result(door.call(handlers)) == [signal.SIG_DFL] * 3
        assert door.result(door.call("return signal.getsignal(signal.SIGINT) is signal.default_int_handler"))


def test_handlers_that_the_script_has_set_are_the_runners(tmp_path: Path) -> None:
    script = tmp_path / "handles.py"
    script.write_text(SCRIPT.read_text() + "\nsignal.signal(signal.SIGUSR1, print)\n")
    with opened(tmp_path, script=str(script)) as door:
        assert door.result(door.call("return signal.getsignal(signal.SIGUSR1) is print"))


def test_logging_that_the_script_has_configured_is_captured(tmp_path: Path) -> None:
    script = tmp_path / "logs.py"
    script.write_text(SCRIPT.read_text() + "\nlogging.basicConfig(level='DEBUG', format='mine: %(message)s')\n")
    with opened(tmp_path, script=str(script)) as door:
        ended = door.call("logging.debug('hello')")
        assert door.output(attempt_of(ended.row), 2) == "mine: hello\n"


def test_the_first_nursery_can_be_forked(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from jobtree.worker.nurseries import fork_first_nursery\n"
        "first = fork_first_nursery()\n"
        "assert 'zmq' not in sys.modules\n"
        "from tests.worker.door import Door\n"
        "door = Door(Path(sys.argv[1]), first).start()\n"
        "assert door.result(door.call('return os.getppid()')) == first.pid\n"
        "door.processes.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=ENVIRON, check=False)
    assert done.returncode == 0


def test_a_first_nursery_that_is_never_used_leaves_with_the_supervisor(tmp_path: Path) -> None:
    program = (
        "from jobtree.worker.nurseries import fork_first_nursery\n"
        "import os; print(fork_first_nursery().pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=ENVIRON, check=False, stdout=subprocess.PIPE)
    pid = int(done.stdout)
    wait_until(lambda: not is_alive(pid))


def test_a_nursery_that_is_still_importing_dies_with_the_supervisor(tmp_path: Path) -> None:
    script = tmp_path / "slow.py"
    pidfile = tmp_path / "pid"
    script.write_text(f"import os, time\nopen({str(pidfile)!r}, 'w').write(str(os.getpid()) + '.')\ntime.sleep(1000)")
    program = (
        "import sys; from pathlib import Path; from tests.worker.door import Door\n"
        "door = Door(Path(sys.argv[1])).start(script=sys.argv[2])\n"
        "while True: door.turn()\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(script)], env=ENVIRON)
    text = wait_until(lambda: pidfile.exists() and pidfile.read_text().endswith(".") and pidfile.read_text())
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not is_alive(int(text[:-1])))


def test_a_door_that_was_never_used_closes(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert door.processes.events(0.0) == []
    assert door.processes.deadline is None
    door.processes.close()
