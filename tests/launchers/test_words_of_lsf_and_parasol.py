"""What is read from the answers of LSF and parasol: texts that were recorded from real ones, or from OpenLava."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers import lsf, parasol
from jobtree.launchers.base import BlockState, SubmitBusy, SubmitRefused, WorkerSize
from jobtree.launchers.lsf import LsfLauncher
from jobtree.launchers.parasol import ParasolLauncher

JSON = """Cannot connect to LSF. Please wait ...
{
  "COMMAND":"bjobs",
  "JOBS":3,
  "RECORDS":[
    {"JOBID":"22005","JOBINDEX":"2","JOB_NAME":"jt-a-1[2]","STAT":"EXIT","EXIT_CODE":"130",
     "EXIT_REASON":"TERM_OWNER: job killed by owner","EXEC_HOST":"tbi-cn019:tbi-cn019","PEND_REASON":""},
    {"JOBID":"8[3]","JOBINDEX":"3","JOB_NAME":"jt-a-2","STAT":"UNKWN","EXIT_CODE":"","EXIT_REASON":"","EXEC_HOST":"9*node3"},
    {"JOBID":"13","ERROR":"Job <13> is not found"}
  ]
}
"""
TABLE = """\
JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME
18      hpc     DONE  normal     head        node1       jt-a-1[1] Nov 22 11:32
17      hpc     PEND  normal     head        -           jt-a-1[2] Nov 22 11:32
"""
HISTORY = """\
Job <25[1]>, Job Name <jt-a-1[1]>, User <hpc>, Project <default>, Command <sleep 300>
Sun Nov 22 11:34:33: Exited with exit co
                     de 130. The CPU time used is 0.0 seconds;

Summary of time in seconds spent in various states by  Sun Nov 22 11:34:33
Job <25[2]>, Job Name <jt-a-1[2]>, User <hpc>
Sun Nov 22 11:34:33: Completed <exit>; TERM_MEMLIMIT: job killed after reaching LSF memory usage limit;
"""
SCRIPT = "/home/hpc/T/blocks/jt-a-1.0.sh"


def test_lsf_s_records_are_found_among_other_lines() -> None:
    first, second = lsf.records_in(JSON)
    assert (first.block, first.name, first.state) == ("lsf:22005[2]", "jt-a-1", BlockState.ENDED)
    assert first.reason == "EXIT TERM_OWNER: job killed by owner (exit code 130)"
    assert (second.block, second.state) == ("lsf:8[3]", BlockState.UNKNOWN)


def test_an_older_lsf_s_table_is_read() -> None:
    assert [(one.block, one.name, str(one.state)) for one in lsf.table_in(TABLE)] == [
        ("lsf:18[1]", "jt-a-1", "ended"), ("lsf:17[2]", "jt-a-1", "pending"),
    ]  # fmt: skip


def test_lines_that_lsf_wraps_in_the_middle_of_words_are_joined() -> None:
    assert lsf.ends_in(HISTORY) == {
        "lsf:25[1]": "Exited with exit code 130",
        "lsf:25[2]": "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit",
    }


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nope: No such queue. Job not submitted.", SubmitRefused),
        ("Too many processors requested. Job not submitted.", SubmitRefused),
        ("Request from non-LSF host rejected. Job not submitted.", SubmitBusy),
        ("batch system daemon not responding ... still trying", SubmitBusy),
    ],
)
def test_lsf_s_exit_status_tells_nothing_but_its_words_do(tmp_path: Path, text: str, kind: type[LauncherError]) -> None:
    assert type(LsfLauncher(["/py"], tmp_path)._judged(LauncherError(["bsub"], 255, text))) is kind


def test_parasol_s_lists_are_read() -> None:
    text = f"132  node3      hpc        2026/11/22 11:06:13 {SCRIPT}\n"
    text += "138  none       hpc        2026/11/22 11:06:01 /bin/sleep 200\n"
    (listed,) = parasol.jobs_in(text, Path("/home/hpc/T/blocks"))
    assert (listed.block, listed.name, listed.reason) == ("parasol:132", "jt-a-1", "node3")
    assert parasol.batch_in("r 132 hpc sleep 1795345573 node3\nq 138\nTotal Jobs: 9\nResults Size: 92\n") == {
        "132": "node3", "138": "",
    }  # fmt: skip
    with pytest.raises(LauncherError, match="makes no sense"):
        parasol.batch_in("r 132 hpc sleep 1795345573 node3\n")


@pytest.mark.parametrize(("word", "told"), [("0", "exit status 0"), ("1792", "exit status 7"), ("9", "killed by signal 9")])
def test_parasol_s_results_have_the_status_of_wait_and_only_whole_lines_count(word: str, told: str) -> None:
    line = f"{word} node1 5 jt-a-1.0.sh 0 0 1795345272 1795345273 1795345273 hpc /tmp/para5.err '{SCRIPT}'\n"
    directory = Path("/home/hpc/T/blocks")
    assert parasol.results_in(line + line[:40], directory) == {"parasol:5": told}
    assert parasol.results_in(line.replace("/T/", "/U/"), directory) == {}, "somebody else's, or an older hub's job 5"


@pytest.mark.parametrize(
    ("answer", "blocks"),
    [("2\n", ["parasol:2"]), ('your job 15 ("/bin/true") has been submitted\n', ["parasol:15"]), ("0\n", [])],
)
def test_parasol_s_answers_to_add_job(tmp_path: Path, answer: str, blocks: list[str]) -> None:
    assert ParasolLauncher(["/py"], tmp_path).accepted(answer, 1) == blocks


def test_parasol_can_t_run_what_has_a_blank_in_its_path(tmp_path: Path) -> None:
    place = tmp_path / "my tree"
    place.mkdir()
    with pytest.raises(SubmitRefused, match="blanks"):
        ParasolLauncher(["/py"], place).submit("jt-a-1", 1, WorkerSize(1, 1 << 30))
