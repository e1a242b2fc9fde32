"""What Grid Engine is asked, and what is read from its answers, which were recorded from a real one (8.1.9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobtree.errors import LauncherError
from jobtree.launchers import gridengine
from jobtree.launchers.base import BlockState, SubmitBusy, SubmitRefused, WorkerSize
from jobtree.launchers.batch import Listed
from jobtree.launchers.gridengine import GridEngineLauncher

COMPLEXES = """\
#name               shortcut   type      relop requestable consumable default  urgency
h_vmem              h_vmem     MEMORY    <=    YES         YES        2G       0
mem_free            mf         MEMORY    <=    YES         NO         0        0
m_mem               mm         MEMORY    <=    YES         JOB        0        0
"""
LIST = """<?xml version='1.0'?>
<job_info  xmlns:xsd="http://arc.liv.ac.uk/repos/darcs/sge/source/dist/util/resources/schemas/qstat/qstat.xsd">
  <queue_info>{running}  </queue_info>
  <job_info>{pending}  </job_info>
</job_info>
"""
JOB = """
    <job_list state="running">
      <JB_job_number>{number}</JB_job_number>
      <JAT_prio>0.50000</JAT_prio>
      <JB_name>{name}</JB_name>
      <JB_owner>hpc</JB_owner>
      <state>{state}</state>
      <queue_name>{queue}</queue_name>
      <slots>1</slots>
      <tasks>{tasks}</tasks>
    </job_list>
"""
WHY = """\
==============================================================
job_number:                 5
scheduling info:            (-l h_vmem=100G) cannot run at host "node3" because it offers only hc:h_vmem=16.000G
                            (-l h_vmem=100G) cannot run at host "node2" because it offers only hc:h_vmem=16.000G
==============================================================
job_number:                 8
scheduling info:            Job is in hold state
==============================================================
job_number:                 9
error reason          1:      11/22/2026 17:13:08 [1001:217]: error: can't open output file "/nonexist/o9.1": Permission denied
error reason          2:      11/22/2026 17:13:08 [1001:232]: error: can't open output file "/nonexist/o9.2": Permission denied
scheduling info:            Job is in error state
"""
ACCOUNT = """\
==============================================================
qname        all.q
jobname      jt-a-1
jobnumber    4
taskid       {task}
failed       {failed}
exit_status  {status}
"""


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> GridEngineLauncher:
    launcher = GridEngineLauncher(["/py", "worker"], tmp_path, GridEngineLauncher.Options(**options))  # type: ignore[arg-type]
    monkeypatch.setattr(launcher, "run", lambda argv, *_: {"-sc": COMPLEXES, "-spl": "smp\nmpi\n"}[argv[1]])
    return launcher


def test_memory_is_divided_by_slots_where_it_is_counted_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = WorkerSize(cpus=4, memory_bytes=7 << 30, walltime_seconds=3600)
    job = made(tmp_path, monkeypatch, pe="smp").job("jt-a-1", 3, size)
    assert job.argv[job.argv.index("-pe") : job.argv.index("-pe") + 3] == ["-pe", "smp", "4"]
    assert job.argv[job.argv.index("-l") + 1] == "h_vmem=2048M,h_rt=3600"
    assert job.argv[job.argv.index("-t") + 1] == "1-3"
    per_job = made(tmp_path, monkeypatch, pe="smp", memory=("m_mem",)).job("jt-a-1", 1, size)
    assert per_job.argv[per_job.argv.index("-l") + 1] == "m_mem=7680M,h_rt=3600"


def test_several_cpus_without_a_parallel_environment_are_refused_with_the_ones_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SubmitRefused, match=r"--gridengine-pe NAME \(there are: smp, mpi\)"):
        made(tmp_path, monkeypatch).job("jt-a-1", 1, WorkerSize(cpus=2, memory_bytes=1 << 30))


@pytest.mark.parametrize("answer", ["4.1-3:1\n", "a site's banner\n4.1-3:1\n"])
def test_the_number_of_an_accepted_array_is_found(tmp_path: Path, answer: str) -> None:
    launcher = GridEngineLauncher(["/py"], tmp_path)
    assert launcher.accepted(answer, 3) == ["gridengine:4.1", "gridengine:4.2", "gridengine:4.3"]
    assert launcher.accepted("<html>503</html>", 3) == []


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("r", "running"), ("t", "running"), ("Rr", "running"), ("dr", "running"), ("S", "running"), ("qw", "pending"),
        ("hqw", "held"), ("Eqw", "error"), ("Ehqw", "error"), ("Rq", "pending"), ("?", "unknown"),
    ],
)  # fmt: skip
def test_letters_of_a_state_combine(letters: str, state: str) -> None:
    job = JOB.format(number=4, name="jt-a-1", state=letters, queue="all.q@node1", tasks="2")
    (listed,) = gridengine.jobs_in(LIST.format(running=job, pending=""))
    assert (listed.block, listed.name, str(listed.state)) == ("gridengine:4.2", "jt-a-1", state)


def test_tasks_of_an_array_that_wait_stand_for_themselves() -> None:
    job = JOB.format(number=20, name="jt-a-1", state="qw", queue="", tasks="1-5:2,8")
    assert [listed.block for listed in gridengine.jobs_in(LIST.format(running="", pending=job))] == [
        "gridengine:20.1", "gridengine:20.3", "gridengine:20.5", "gridengine:20.8",
    ]  # fmt: skip


@pytest.mark.parametrize("answer", ["", "<html>503</html>", "<job_info><queue_info>", "error: commlib error"])
def test_what_is_no_listing_is_an_error_and_not_an_empty_one(answer: str) -> None:
    with pytest.raises(LauncherError, match="makes no sense"):
        gridengine.jobs_in(answer)
    assert gridengine.jobs_in(LIST.format(running="", pending="")) == []


def test_why_jobs_wait_is_read_an_error_first() -> None:
    told = gridengine.reasons_in(WHY)
    assert told["5"].startswith('(-l h_vmem=100G) cannot run at host "node3"')
    assert told["8"] == "Job is in hold state"
    assert told["9"] == 'error: can\'t open output file "/nonexist/o9.1": Permission denied'


@pytest.mark.parametrize(
    ("failed", "status", "words"),
    [
        ("0", "3", "exit status 3"),
        ("100 : assumedly after job", "137                  (Killed)", "assumedly after job (exit status 137 (Killed))"),
        ("37  : qmaster enforced h_rt or h_vmem limit", "137", "qmaster enforced h_rt or h_vmem limit (exit status 137)"),
        ("19  : before writing exit_status", "0", "before writing exit_status (exit status 0)"),
    ],
)  # fmt: skip
def test_how_a_job_ended_needs_both_words_of_the_accounting(failed: str, status: str, words: str) -> None:
    assert gridengine.ends_in(ACCOUNT.format(task=2, failed=failed, status=status)) == {"gridengine:4.2": words}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('Unable to run job: unknown resource "nosuch"\nExiting.', SubmitRefused),
        ("Unable to run job: error: no suitable queues", SubmitRefused),
        ("error: commlib error: got select error (Connection refused)", SubmitBusy),
        ("Unable to run job: job rejected: only 5 jobs are allowed per user (current job count: 5): max_u_jobs", SubmitBusy),
    ],
)
def test_a_refusal_is_final_unless_it_will_pass(tmp_path: Path, text: str, kind: type[LauncherError]) -> None:
    judged = GridEngineLauncher(["/py"], tmp_path)._judged(LauncherError(["qsub"], 1, text))
    assert type(judged) is kind
    open_ = LauncherError(["qsub"], None, "no answer within 60 s")
    assert GridEngineLauncher(["/py"], tmp_path)._judged(open_) is open_


def test_what_is_missing_has_ended_only_by_the_accountings_word_or_after_some_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = GridEngineLauncher(["/py"], tmp_path)
    monkeypatch.setattr(launcher, "run", lambda argv, *_: "4.1-2:1\n" if argv[0] == "qsub" else "")
    monkeypatch.setattr(launcher, "_consumables", dict)
    blocks = launcher.submit("jt-a-1", 2, WorkerSize(1, 1 << 30))
    seen = [Listed(blocks[0], "jt-a-1", BlockState.RUNNING)]
    monkeypatch.setattr(launcher, "listed", lambda names: seen)
    monkeypatch.setattr(launcher, "verdicts", lambda missing: {})
    assert [launcher.poll()[blocks[1]].state for _ in range(3)] == [BlockState.UNKNOWN, BlockState.UNKNOWN, BlockState.ENDED]
    monkeypatch.setattr(launcher, "listed", lambda names: [])
    monkeypatch.setattr(launcher, "verdicts", lambda missing: {blocks[0]: "exit status 1"})
    assert launcher.poll()[blocks[0]].reason == "exit status 1"
    again = GridEngineLauncher(["/py"], tmp_path)
    assert {status.state for status in again.poll().values()} == {BlockState.ENDED}, "a later master need not ask for them"


def test_nothing_of_our_environment_goes_with_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JT_SECRET", "ahtiechae8Oh")
    monkeypatch.setenv("SGE_CELL", "cell")
    told = GridEngineLauncher(["/py"], tmp_path).run(["env"])
    assert "SGE_CELL=cell" in told
    assert "ahtiechae8Oh" not in told
