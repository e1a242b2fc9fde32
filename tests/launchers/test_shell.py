from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers import shell


def test_what_a_command_prints_is_returned() -> None:
    assert shell.run(["printf", "%s\\n", "a b"]) == "a b\n"


def test_a_command_reads_the_text_it_is_given() -> None:
    assert shell.run(["cat"], input_text="#!/bin/sh\n") == "#!/bin/sh\n"


def test_a_command_runs_in_the_c_locale_with_the_rest_of_the_environment() -> None:
    assert shell.run(["sh", "-c", "echo $LC_ALL $WORD"], environment={"WORD": "x", "LC_ALL": "de"}) == "C x\n"


def test_a_status_other_than_0_is_an_error_with_command_status_and_stderr() -> None:
    with pytest.raises(LauncherError) as caught:
        shell.run(["sh", "-c", "echo noise; echo no such queue >&2; exit 3"])
    assert (caught.value.argv[0], caught.value.status, caught.value.tail) == ("sh", 3, "no such queue")


def test_a_silent_stderr_leaves_the_word_to_stdout() -> None:
    with pytest.raises(LauncherError, match="status 1: denied"):
        shell.run(["sh", "-c", "echo denied; exit 1"])


def test_a_command_that_is_not_there_is_an_error_without_a_status() -> None:
    with pytest.raises(LauncherError, match="No such file") as caught:
        shell.run(["/no/such/qsub"])
    assert caught.value.status is None


def test_a_command_that_hangs_is_killed_with_all_it_has_started(tmp_path: Path) -> None:
    pipe = tmp_path / "held open by the grandchild"
    program = (
        "import os, subprocess, sys; os.mkfifo(sys.argv[1]);"
        "subprocess.Popen(['sleep', '600'], pass_fds=[os.open(sys.argv[1], os.O_RDWR)]).wait()"
    )
    with pytest.raises(LauncherError, match="no answer within 1 s") as caught:
        shell.run([sys.executable, "-c", program, str(pipe)], timeout_seconds=1)
    assert caught.value.status is None
    # communicate() returned, so nobody holds the command's stdout any more


def test_a_tail_begins_with_a_whole_line() -> None:
    assert shell.tail(b"first\nsecond\nthird\n", limit_bytes=10) == "third"
    assert shell.tail(b"first\nsecond\n") == "first\nsecond"
